"""A store that tests fill by hand, and what its read models hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from penstock.event_store import NewEvent, append
from penstock.postgres.pool import close_pools, connect
from penstock.settings import Settings
from shop import DOMAIN
from tests import throwaway

TABLES = {projection.name: projection.tables for projection in DOMAIN.projections}
SEARCH_PATH = "-c search_path=shop,public"
AT = {"occurred_at": "2010-12-01T08:26:00Z"}


@contextmanager
def store() -> Iterator[tuple[Settings, psycopg.Connection]]:
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        with connect(url) as connection:
            connection.execute("set search_path = shop, public")
            yield Settings(database_url=url, environment="local", currency="GBP"), connection
        close_pools()


def put(connection: psycopg.Connection, stream: str, event_type: str, payload: dict[str, Any], **metadata: Any) -> int:
    """Append one event to `type/id`, whatever the stream's version; returns its position."""
    aggregate_type, aggregate_id = stream.split("/", 1)
    event = NewEvent(event_type, payload, {**AT, **metadata})
    return append(connection, aggregate_type, aggregate_id, "any", [event]).position


def place(connection: psycopg.Connection, order_id: str = "o1", **payload: Any) -> int:
    items = [{"product_id": "p1", "quantity": 2, "unit_price": "2.550"}]
    return put(connection, f"order/{order_id}", "OrderPlaced", {"items": items, **payload})


def rows(connection: psycopg.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"select t.* from {table} as t order by t::text".encode()).fetchall()


def read_models(connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {table.partition(".")[2]: rows(connection, table) for tables in TABLES.values() for table in tables}


def letters(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select source, reference, resolved_at is null from ops.dead_letters where kind = 'event' order by 1, 2, 3"
    ).fetchall()
