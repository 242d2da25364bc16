"""One schema for payloads, whoever writes them: commands, webhooks, imports of files.

What an import target writes is accepted by the event's model; what a command accepts is read alike by the aggregate and
the read model; and the same order says the same by either way. The package's target `events` stores payloads as they
are, of any type, so it is bound to no model.
"""

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from penstock.event_store import NewEvent, append
from penstock.ingest.files import advance_import, create_import, undo_import
from penstock.ingest.files.parse.types import (
    Boolean,
    Choice,
    Code,
    Email,
    FieldType,
    Identifier,
    Integer,
    Number,
    Text,
    Timestamp,
)
from penstock.ingest.files.target import EventMapping, Target
from penstock.payloads import find_schema
from penstock.projections import advance
from penstock.settings import Settings
from shop import DOMAIN
from shop.events import InventoryAdjusted, OrderAmended, OrderPlaced
from shop.inventory.fold import load_inventory
from shop.inventory.inputs import AdjustInventory
from shop.orders.fold import load_order
from shop.orders.inputs import PlaceOrder
from shop.orders.order import Order
from tests.shop.projections.store import store

Shop = tuple[Settings, psycopg.Connection]
NOW = datetime(2026, 11, 20, 9, 30, 0, 1, tzinfo=UTC)
EVENT_TARGETS = [target for target in DOMAIN.targets if isinstance(target.into, EventMapping)]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as opened:
        yield opened


def extremes(kind: FieldType) -> list[str]:
    """Values at both ends of what a field takes."""
    if isinstance(kind, Email):
        return ["a@b.example", f"{'x' * 64}@{'y' * 100}.example"]
    if isinstance(kind, Text):
        return ["x", "é" * kind.at_most] if isinstance(kind, Identifier) else ["", "é" * kind.at_most]
    if isinstance(kind, Integer):
        # the first one goes with the ends of all others: a product must fit a column
        return [str(max(kind.at_least, -1)), str(kind.at_most), *([str(kind.at_least)] if kind.at_least < -1 else [])]
    if isinstance(kind, Number):
        return ["0.000001" if kind.positive else "0", "9" * kind.digits + "." + "9" * kind.places]
    if isinstance(kind, Code):
        return ["eur", "USD"]
    if isinstance(kind, Choice):
        return list(kind.values)
    if isinstance(kind, Boolean):
        return ["true", "false"]
    assert isinstance(kind, Timestamp), f"{kind}: say what its extremes are"
    return ["2010-12-01", "2026-11-20T09:30:00.000001+02:00"]


def rows(target: Target, kinds: dict[str, FieldType]) -> list[dict[str, str]]:
    """A row with all fields at one end, then rows in which one of them is at its other end or missing."""
    plain = {item.name: extremes(kinds.get(item.name, item.field_type))[0] for item in target.fields}
    found = [plain]
    for item in target.fields:
        found += [{**plain, item.name: value} for value in extremes(kinds.get(item.name, item.field_type))[1:]]
        found += [] if item.required else [{**plain, item.name: ""}]
    keys = [item.name for item in target.fields if item.name.endswith("_id")]
    # an aggregate of its own for each, but for the rows about the longest ids
    own = f"x{uuid4().hex}"
    return [{**row, **{key: f"{own}-{number}" for key in keys if row[key] == "x"}} for number, row in enumerate(found)]


def load(shop: Shop, target: Target, header: dict[str, str], found: list[dict[str, str]]) -> list[tuple[str, Any]]:
    """Import the rows; gives what was written, as (event type, payload)."""
    store_settings, connection = shop
    if isinstance(target.into, EventMapping) and target.into.needs:
        place_orders(connection, {row["order_id"] for row in found})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header.values())
    writer.writerows([row[name] for name in header] for row in found)
    created, _ = create_import(store_settings, target.name, text.getvalue().encode(), reject_limit=1000)
    done = advance_import(store_settings, created.id)
    assert done.state == done.loaded_state, done.error
    assert done.loaded >= len(found) - 5, "nearly all of the rows are written: else this shows nothing"
    return connection.execute(
        "select event_type, payload from public.event_store where metadata ->> 'correlation_id' = %s order by position",
        (str(created.id),),
    ).fetchall()


def place_orders(connection: psycopg.Connection, order_ids: set[str]) -> None:
    for order_id in order_ids:
        append(connection, "order", order_id, "any", [NewEvent("OrderPlaced", order_of(order_id), {})])


def order_of(order_id: str) -> dict[str, Any]:
    line = {"product_id": "p", "quantity": 1, "unit_price": "1.000"}
    said = {"order_id": order_id, "currency": "EUR", "placed_at": "2026-11-20T09:30:00Z", "items": [line]}
    return OrderPlaced.model_validate(said).as_json()


def assert_fits(event_type: str, payload: dict[str, Any]) -> None:
    schema = find_schema(event_type)
    assert schema is not None, f"{event_type} is written by an import and declared by no domain"
    again = schema.payload.model_validate(payload).as_json()
    assert {key: value for key, value in again.items() if key in payload and key != "total"} == {
        key: value for key, value in payload.items() if key != "total"
    }
    assert Decimal(again.get("total", 0)) == Decimal(payload.get("total", 0))


@pytest.mark.parametrize("target", EVENT_TARGETS, ids=lambda target: target.name)
def test_what_an_import_writes_fits_the_schema(shop: Shop, target: Target) -> None:
    written = load(shop, target, {item.name: item.name for item in target.fields}, rows(target, {}))
    for event_type, payload in written:
        assert_fits(event_type, payload)


def test_what_amends_an_order_or_takes_an_import_back_fits_the_schema(shop: Shop) -> None:
    store_settings, connection = shop
    began = datetime.now(UTC)
    for target in EVENT_TARGETS:
        header = {item.name: item.name for item in target.fields}
        found = rows(target, {})
        load(shop, target, header, found)
        said_otherwise = {"orders": {"product_id": "other", "quantity": "2"}}.get(target.name, {"name": "y"})
        if target.name not in ("inventory", "payments"):  # a movement and a payment are never said otherwise
            load(shop, target, header, [{**row, **said_otherwise} for row in found])
    imports = connection.execute(
        "select id from raw.imports where created_at >= %s order by created_at desc", (began,)
    ).fetchall()
    for (import_id,) in imports:
        undo_import(store_settings, import_id)
    written = connection.execute(
        "select distinct event_type, payload from public.event_store where created_at >= %s", (began,)
    ).fetchall()
    types = {"OrderAmended", "OrderVoided", "OrderRefunded", "CustomerRemoved", "ProductRemoved", "InventoryAdjusted"}
    assert types <= {event_type for event_type, _ in written}
    for event_type, payload in written:
        assert_fits(event_type, payload)


# Those with fields of their own need files of their own: tests/shop/imports/test_profiles.py.
PROFILES = [(target, profile) for target in EVENT_TARGETS for profile in target.profiles if not profile.fields]


@pytest.mark.parametrize(("target", "profile"), PROFILES, ids=lambda value: value.name)
def test_what_a_known_file_becomes_fits_the_schema(shop: Shop, target: Target, profile: Any) -> None:
    """A profile may take values that the target's own fields refuse, such as a line of 0 pieces."""
    columns = target.recognise(sorted(profile.header), ())
    header = {field: column for column, field in columns.items()}
    found = [{**row, "amount": "1.00"} for row in rows(target, dict(profile.field_types))]
    written = load(shop, target, header, [*found, {**found[0], "order_id": f"x{uuid4().hex}", "amount": "0"}])
    assert any(item["quantity"] == 0 for _, payload in written for item in payload.get("items", [])) == (
        profile.name == "complete_journey"
    )
    for event_type, payload in written:
        assert_fits(event_type, payload)


def test_what_the_schema_refuses_of_an_import_no_figure_can_hold(shop: Shop) -> None:
    """A file may claim more than any column holds: the read model parks what the model refuses."""
    store_settings, connection = shop
    (target,) = (target for target in EVENT_TARGETS if target.name == "orders")
    header = {name: name for name in ("order_id", "product_id", "quantity", "ordered_at", "unit_price", "currency")}
    row = {
        "currency": "EUR",
        "order_id": "huge",
        "product_id": "p",
        "quantity": "1000000000",
        "ordered_at": "2026-01-01",
    }
    written = load(shop, target, header, [{**row, "unit_price": "999999999999"}])
    with pytest.raises(ValidationError, match="must stay below"):
        OrderPlaced.model_validate(written[0][1])
    advance(store_settings, "orders")
    parked = "select count(*) from ops.dead_letters where source = 'orders' and payload ->> 'aggregate_id' = 'huge'"
    assert connection.execute(parked).fetchone() == (1,)


MONEY = st.decimals(0, 10**9, places=6).map(str) | st.sampled_from(["0", "2.550", "0.000001", 2.5, 4])
NAMES = st.none() | st.sampled_from(["", "x", "é" * 100, "17850", "1e5"])
IDS = st.sampled_from(["p1", "p2", "17850", "17850.0", " x ", "é" * 200, '"', "null"])
LINES = st.fixed_dictionaries(
    {"product_id": IDS, "quantity": st.integers(1, 99999), "unit_price": MONEY},
    optional={"name": NAMES, "category": NAMES, "amount": MONEY | st.none()},
) | st.fixed_dictionaries({"product_id": IDS, "quantity": st.just(0), "unit_price": MONEY, "amount": MONEY})
ORDERS = st.fixed_dictionaries(
    {"items": st.lists(LINES, min_size=1, max_size=4)},
    optional={
        "customer_id": st.none() | IDS,
        "currency": st.sampled_from(["EUR", "GBP"]),
        "country": NAMES,
        "placed_at": st.datetimes(datetime(2010, 1, 1), datetime(2026, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
            datetime.isoformat
        ),
    },
)
_ORDER = """
select jsonb_build_object('status', status, 'customer_id', customer_id, 'currency', currency, 'country', country,
  'total', total::text, 'placed_at', placed_at)
from shop.orders where order_id = %s
"""
_ITEMS = """
select product_id, name, category, quantity, unit_price, amount from shop.order_items where order_id = %s order by line
"""


def put(connection: psycopg.Connection, stream: tuple[str, str], event_type: str, payload: dict[str, Any]) -> None:
    append(connection, *stream, "any", [NewEvent(event_type, payload, {"occurred_at": "2010-12-01T08:26:00Z"})])


def compared(order: dict[str, Any]) -> dict[str, Any]:
    """What an aggregate and a row both say, with money and time as values."""
    said = {key: order[key] for key in ("status", "customer_id", "currency", "country")}
    return said | {"total": Decimal(order["total"]), "placed_at": datetime.fromisoformat(order["placed_at"])}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ORDERS, ORDERS)
def test_an_amendment_is_read_alike(shop: Shop, first: dict[str, Any], second: dict[str, Any]) -> None:
    store_settings, connection = shop
    order_id = uuid4().hex
    placed, amended = (
        PlaceOrder.model_validate(body).placed(order_id, NOW, "GBP").as_json() for body in (first, second)
    )
    assert OrderAmended.model_validate(amended).as_json() == amended
    put(connection, ("order", order_id), "OrderPlaced", placed)
    put(connection, ("order", order_id), "OrderCompleted", {})
    put(connection, ("order", order_id), "OrderAmended", amended)
    advance(store_settings, "orders")
    (row,) = connection.execute(_ORDER, (order_id,)).fetchone() or (None,)
    state: Order = load_order(connection, order_id).state
    assert compared(vars(state)) == compared(row)
    assert (state.status, state.total, len(state.items)) == ("completed", amended["total"], len(amended["items"]))
    lines = [(line.get("product_id"), line.get("quantity")) for line in amended["items"]]
    assert [(product, quantity) for product, _, _, quantity, *_ in connection.execute(_ITEMS, (order_id,))] == lines


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ORDERS)
def test_what_a_command_accepts_is_read_alike(shop: Shop, body: dict[str, Any]) -> None:
    store_settings, connection = shop
    order_id = uuid4().hex
    placed = PlaceOrder.model_validate(body).placed(order_id, NOW, "GBP")
    payload = placed.as_json()
    assert OrderPlaced.model_validate(payload) == placed, "a webhook may bring what a command has written"
    put(connection, ("order", order_id), "OrderPlaced", payload)
    advance(store_settings, "orders")
    (row,) = connection.execute(_ORDER, (order_id,)).fetchone() or (None,)
    state: Order = load_order(connection, order_id).state
    assert compared(vars(state)) == compared(row)
    assert (Decimal(row["total"]), datetime.fromisoformat(row["placed_at"])) == (placed.total, placed.placed_at)
    assert connection.execute(_ITEMS, (order_id,)).fetchall() == [
        (line.product_id, line.name or None, line.category or None, line.quantity, line.unit_price, line.cost)
        for line in placed.items
    ]


@pytest.mark.parametrize("delta", [1, -1, 0, 2**31 - 1, -(2**31) + 1])
def test_what_a_command_on_an_inventory_accepts_is_read_alike(shop: Shop, delta: int) -> None:
    store_settings, connection = shop
    product_id = uuid4().hex
    command = AdjustInventory.model_validate({"delta": delta, "reason": ""})
    adjusted = InventoryAdjusted(product_id=product_id, delta=command.delta, reason=command.reason)
    put(connection, ("inventory", product_id), "InventoryAdjusted", adjusted.as_json())
    advance(store_settings, "inventory")
    row = connection.execute(
        "select on_hand from shop.inventory_current where product_id = %s", (product_id,)
    ).fetchone()
    assert row == (delta,) == (load_inventory(connection, product_id).state.on_hand,)


def test_an_order_says_the_same_by_command_and_by_file(shop: Shop) -> None:
    store_settings, connection = shop
    lines = [
        {"product_id": "MUG", "name": "Mug", "category": "Kitchen", "quantity": 2, "unit_price": "7.500"},
        {"product_id": "CARD", "quantity": 3, "unit_price": "0.333333", "amount": "1.00"},
    ]
    about = {"customer_id": "C-1", "currency": "EUR", "country": "France"}
    when = "2026-01-02T03:04:05Z"
    command = PlaceOrder.model_validate({**about, "placed_at": when, "items": lines})
    records = [
        {"order_id": "both", "ordered_at": when, **about, **line, "product_name": line.get("name")} for line in lines
    ]
    for record in records:
        record.pop("name", None)
    content = "\n".join(json.dumps(record) for record in records).encode()
    created, _ = create_import(store_settings, "orders", content)
    assert advance_import(store_settings, created.id).loaded == 2
    written = connection.execute(
        "select payload from public.event_store where aggregate_id = 'both' and event_type = 'OrderPlaced'"
    ).fetchone()
    assert written is not None
    assert written[0] == command.placed("both", NOW, "GBP").as_json()
