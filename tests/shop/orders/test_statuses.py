"""The statuses of an order, written once in `shop.orders.order`: read model, SQL and HTTP must have the same."""

import re
from typing import get_args

import psycopg

from shop.events import EVENTS
from shop.orders.order import AGGREGATE_TYPE, ALLOWED, AMENDED, REFUNDED, STATUS_AFTER, VOIDED, Status
from shop.orders.projection import PROJECTION
from shop.orders.routes import OrderAnswer, OrderOut

STATUSES = get_args(Status)


def test_every_event_of_an_order_leads_to_a_status_of_its_own() -> None:
    steps = [schema.event_type for schema in EVENTS if schema.aggregate_type == AGGREGATE_TYPE]
    assert steps == ["OrderPlaced", AMENDED, VOIDED, *STATUS_AFTER, REFUNDED], "a refund leaves the status"
    assert ("placed", *STATUS_AFTER.values()) == STATUSES
    assert {*PROJECTION.event_types, REFUNDED} == set(steps)


def test_a_step_may_be_taken_from_statuses_that_exist() -> None:
    assert {status for allowed in ALLOWED.values() for status in allowed} <= set(STATUSES)
    assert len(ALLOWED) == len(STATUS_AFTER)


def test_http_answers_with_these_statuses() -> None:
    for model in (OrderAnswer, OrderOut):
        assert model.model_fields["status"].annotation == Status


def test_the_read_model_takes_these_statuses_and_has_a_time_for_each(connection: psycopg.Connection) -> None:
    (check,) = connection.execute(
        "select pg_get_constraintdef(oid) from pg_catalog.pg_constraint"
        " where conrelid = 'shop.orders'::regclass and conname = 'orders_status_check'"
    ).fetchone() or ("",)
    assert tuple(re.findall(r"'([a-z]+)'", check)) == STATUSES
    columns = connection.execute(
        "select attname::text from pg_catalog.pg_attribute"
        " where attrelid = 'shop.orders'::regclass and attname like '%\\_at' order by attnum"
    ).fetchall()
    assert [name for (name,) in columns] == [f"{status}_at" for status in STATUSES]
