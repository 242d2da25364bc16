"""A command takes the order's stream row and its products' in the one order of the store: no deadlock with batches."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial

import psycopg
import pytest

from penstock.commands import CommandContext
from penstock.errors import VersionConflict
from penstock.event_store import append, append_bulk
from penstock.postgres import pool
from penstock.settings import Settings
from shop.inventory.commands import adjust_inventory
from shop.inventory.inputs import AdjustInventory
from shop.orders import commands
from shop.orders.inputs import CancelOrder, PlaceOrder
from tests.integration.event_store.racing import made, together, wait_until
from tests.integration.event_store.ways import (
    Stream,
    staged,
)

CONTEXT = CommandContext(datetime(2026, 11, 21, tzinfo=UTC), "till", "tests", "correlation-1")


def heads(connection: psycopg.Connection, stream: Stream) -> list[tuple[int]]:
    """The stream's head, unless another transaction has it."""
    query = (
        "select version from penstock.streams where (aggregate_type, aggregate_id) = (%s, %s) for update skip locked"
    )
    return connection.execute(query, stream).fetchall()


@contextmanager
def at_work(
    url: str,
) -> Iterator[tuple[psycopg.Connection, psycopg.Connection, ThreadPoolExecutor, psycopg.Connection]]:
    """Who holds a head, who writes, the writer's thread, and who looks on. A holder that leaves lets the thread end."""
    with (
        closing(psycopg.connect(url)) as writer,
        ThreadPoolExecutor(1) as thread,
        closing(psycopg.connect(url, autocommit=True)) as holder,
        closing(psycopg.connect(url, autocommit=True)) as watcher,
    ):
        yield holder, writer, thread, watcher


@pytest.fixture
def settings(database_url: str) -> Iterator[Settings]:
    yield Settings(database_url=database_url, environment="local", currency="GBP")
    pool.close_pools()


def place(settings: Settings, order_id: str, *product_ids: str) -> None:
    items = [{"product_id": product_id, "quantity": 1, "unit_price": "2.50"} for product_id in product_ids]
    command = PlaceOrder.model_validate({"order_id": order_id, "items": items})
    commands.place_order(settings, command, CONTEXT)


def cancel(settings: Settings, order_id: str) -> None:
    commands.step_order(settings, order_id, "cancel", CancelOrder(), CONTEXT)


def stock(settings: Settings, *product_ids: str) -> None:
    for product_id in product_ids:
        adjust_inventory(settings, product_id, AdjustInventory(delta=1000), CONTEXT)


def test_a_command_locks_the_order_with_its_products(database_url: str, settings: Settings) -> None:
    stock(settings, "P")
    place(settings, "O-1", "P")
    with at_work(database_url) as (holder, _, thread, watcher):
        holder.execute("begin")
        append(holder, "inventory", "P", "any", made())
        running = thread.submit(cancel, settings, "O-1")
        waiting = "select exists (select from pg_locks where not granted)"
        wait_until(lambda: watcher.execute(waiting).fetchone() == (True,), 60)
        assert heads(watcher, ("order", "O-1")) == []
        holder.execute("commit")
        running.result()


def test_commands_bulk_and_staged_batches_never_deadlock(database_url: str, settings: Settings) -> None:
    """With two orders of locks this gave a deadlock every half second, each a second long."""
    products = ["a", "B", "c", "D", "é", "Z"]
    stock(settings, *products)
    orders = [f"{'oO'[n % 2]}-{n}" for n in range(40)]
    for number, order_id in enumerate(orders):
        place(settings, order_id, *random.Random(number).sample(products, 3))
    streams = [("order", order_id) for order_id in orders] + [("inventory", product_id) for product_id in products]

    def cancel_some(number: int) -> None:
        for order_id in orders[number::3]:
            with suppress(VersionConflict):  # batches may win six times in a row
                cancel(settings, order_id)

    def append_many(number: int) -> None:
        chance = random.Random(number)
        with pool.connect(database_url) as own:
            for _ in range(60):
                chosen = chance.sample(streams, 12)
                if number % 2:
                    append_bulk(own, [(*stream, "any", made()) for stream in chosen])
                else:
                    with own.transaction():
                        staged(own, chosen)

    tasks = [partial(cancel_some, number) for number in range(3)] + [partial(append_many, n) for n in range(4)]
    together(tasks)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("select pg_stat_force_next_flush()")
        query = "select deadlocks from pg_stat_database where datname = current_database()"
        assert connection.execute(query).fetchone() == (0,)
