"""A rebuild: beside the live tables, in place at once, never seen half done."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from penstock.errors import RebuildInProgress
from penstock.event_store import read_checkpoint
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance, advance_all, folding, projections, rebuild, rebuilding
from penstock.settings import Settings
from tests.shop.projections.store import TABLES, letters, place, put, read_models, rows
from tests.waiting import PATIENCE_SECONDS

ORDERS = 300


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


@pytest.fixture
def shop(connection: psycopg.Connection, settings: Settings) -> psycopg.Connection:
    for number in range(3):
        place(connection, f"o{number}", customer_id="c1", total="1.50")
        put(connection, "inventory/p1", "InventoryAdjusted", {"delta": 5})
    put(connection, "order/o1", "OrderCompleted", {})
    advance_all(settings)
    return connection


def test_wrong_missing_and_foreign_rows_are_put_right(settings: Settings, shop: psycopg.Connection) -> None:
    right = read_models(shop)
    shop.execute("update orders set total = 99 where order_id = 'o0'")
    shop.execute("delete from orders where order_id = 'o1'")
    shop.execute("insert into order_items select 'foreign', 1, product_id, name, category, quantity, unit_price, amount"
                 " from order_items limit 1")  # fmt: skip
    shop.execute("truncate customers, products, revenue_by_hour, inventory_current")
    shop.execute("alter table inventory_history disable trigger inventory_history_refuse_change")
    shop.execute("update inventory_history set on_hand_after = 0")
    shop.execute("alter table inventory_history enable always trigger inventory_history_refuse_change")
    rebuilt = {name: rebuild(settings, name) for name in TABLES}
    assert read_models(shop) == right
    assert (rebuilt["orders"].deleted, rebuilt["orders"].inserted) == (2, 3)
    assert (rebuilt["inventory"].deleted, rebuilt["inventory"].inserted) == (3, 4)


def test_a_rebuild_that_changes_nothing_writes_no_row(settings: Settings, shop: psycopg.Connection) -> None:
    places = {table: shop.execute(f"select ctid, xmin from {table}".encode()).fetchall() for table in read_models(shop)}
    for name in TABLES:
        rebuilt = rebuild(settings, name)
        assert (rebuilt.deleted, rebuilt.inserted) == (0, 0)
    for table, before in places.items():
        assert shop.execute(f"select ctid, xmin from {table}".encode()).fetchall() == before


def test_tables_keep_their_identity_and_nothing_is_left_over(settings: Settings, shop: psycopg.Connection) -> None:
    before = _catalog(shop)
    shop.execute("truncate orders, order_items")
    rebuild(settings, "orders")
    assert _catalog(shop) == before


def _catalog(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    """Every relation with its grants and policies, and every schema."""
    return connection.execute(
        "select n.nspname, c.oid, c.relname, c.relkind::text, c.relacl::text, c.relrowsecurity,"
        " (select count(*) from pg_policy as p where p.polrelid = c.oid),"
        " (select count(*) from pg_trigger as t where t.tgrelid = c.oid and t.tgenabled = 'A')"
        " from pg_namespace as n left join pg_class as c on c.relnamespace = n.oid"
        " where n.nspname not like 'pg\\_%' order by 1, 3"
    ).fetchall()


def test_views_on_a_rebuilt_table_go_on_with_it(settings: Settings, shop: psycopg.Connection) -> None:
    shop.execute("create view public.mine as select count(*) as n from shop.orders")
    shop.execute("truncate orders, order_items, revenue_by_hour")
    rebuild(settings, "orders")
    assert shop.execute("select n from mine").fetchone() == (3,)
    assert shop.execute("select public.refresh_materialized_view('monthly_revenue') ->> 'view'").fetchone()
    assert shop.execute("select order_count from monthly_revenue").fetchone() == (1,)


def test_what_was_parked_and_can_be_read_now_is_resolved(settings: Settings, connection: psycopg.Connection) -> None:
    healed, hopeless = place(connection, "o1", total={"amount": 5}), place(connection, "o2", total="x")
    advance(settings, "orders")
    connection.execute(
        "create function public.unwrap(payload jsonb) returns jsonb language sql immutable set search_path = ''"
        " as $$ select payload || pg_catalog.jsonb_build_object('total',"
        " coalesce(payload -> 'total' -> 'amount', payload -> 'total')) $$"
    )
    connection.execute("select penstock.register_upcaster('OrderPlaced', 1, 'public.unwrap(jsonb)')")
    assert rebuild(settings, "orders").parked == 1
    assert letters(connection) == [("orders", str(healed), False), ("orders", str(hopeless), True)]
    assert [row[0] for row in rows(connection, "orders")] == ["o1"]


def test_what_one_connection_cannot_read_is_undone_on_the_other(
    settings: Settings, connection: psycopg.Connection
) -> None:
    place(connection, "o1")
    poison = place(connection, "o2", total="x")  # its items are fine
    late = put(connection, "order/o3", "PaymentReceived", {}, occurred_at="now")
    place(connection, "o3", items=[{"product_id": "p1", "quantity": "x", "unit_price": "1"}])  # its order is fine
    place(connection, "o4")
    assert rebuilding._Copy(settings, projections()["orders"]).lanes == 2
    assert rebuild(settings, "orders").parked == 3
    assert [row[0] for row in rows(connection, "orders")] == ["o1", "o4"]
    assert [row[0] for row in rows(connection, "order_items")] == ["o1", "o4"]
    assert letters(connection) == [("orders", str(position), True) for position in (poison, late, late + 1)]


def test_only_one_rebuild_of_a_projection_at_a_time(
    settings: Settings, shop: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(rebuilding, "fold_range", _paused(begun, go_on))
    thread = threading.Thread(target=rebuild, args=(settings, "orders"))
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    with pytest.raises(RebuildInProgress):
        rebuild(settings, "orders")
    go_on.set()
    thread.join()
    assert rebuild(settings, "orders").deleted == 0


def _paused(begun: threading.Event, go_on: threading.Event) -> Callable[..., folding.Folded]:
    def fold_range(*arguments: Any, **beside: Any) -> folding.Folded:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return folding.fold_range(*arguments, **beside)

    return fold_range


def test_a_rebuild_that_dies_leaves_the_live_tables_and_the_way_free(
    settings: Settings, shop: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_models(shop)

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rebuilding._Copy, "_merge_all", dies)
        with pytest.raises(KeyboardInterrupt):
            rebuild(settings, "orders")
    assert read_models(shop) == before
    assert advance(settings, "orders").caught_up
    assert rebuild(settings, "orders").deleted == 0
    assert shop.execute("select count(*) from pg_namespace where nspname like 'rebuild%'").fetchone() == (0,)


def test_a_rebuild_before_the_first_advance_brings_the_checkpoint_along(
    settings: Settings, connection: psycopg.Connection
) -> None:
    position = place(connection)
    assert rebuild(settings, "orders").position == position
    assert read_checkpoint(connection, "orders") == position
    assert advance(settings, "orders").events == 0
    assert len(rows(connection, "orders")) == 1


def test_readers_see_full_tables_while_appends_and_the_live_projection_go_on(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Every read, in new and in old snapshots, finds all the orders that were there before it."""
    for number in range(ORDERS):
        place(connection, f"o{number}")
    advance(settings, "orders")
    stop = threading.Event()
    faults: list[str] = []
    reads = [0, 0]
    workers = [
        threading.Thread(target=_append_and_advance, args=(settings, stop, faults)),
        threading.Thread(target=_read, args=(settings, stop, faults, reads)),
        threading.Thread(target=_read_in_an_old_snapshot, args=(settings, stop, faults, reads)),
    ]
    for worker in workers:
        worker.start()
    try:
        deadline, rebuilds = time.monotonic() + 4 * PATIENCE_SECONDS, 0
        while rebuilds < 6 or (min(reads) <= 20 and not faults):
            rebuilds += 1
            assert time.monotonic() < deadline, f"the readers hardly read: {reads}"
            # wrong on purpose, so that each rebuild has every row to exchange
            connection.execute("update orders set currency = 'ZZZ'")
            rebuild(settings, "orders")
    finally:
        stop.set()
        for worker in workers:
            worker.join()
    assert faults == []
    advance(settings, "orders")
    incremental = read_models(connection)
    assert len(incremental["orders"]) > ORDERS
    connection.execute("truncate orders, order_items, revenue_by_hour")
    rebuild(settings, "orders")
    assert read_models(connection) == incremental


def _append_and_advance(settings: Settings, stop: threading.Event, faults: list[str]) -> None:
    with connect(settings.database_url) as connection:
        for number in range(100_000):
            if stop.is_set():
                return
            position = place(connection, f"new{number}")
            advanced = advance(settings, "orders")
            if advanced.position < position:
                faults.append(f"the live projection stands at {advanced.position} after {position}")


def _read(settings: Settings, stop: threading.Event, faults: list[str], reads: list[int]) -> None:
    at_least = ORDERS
    with connect(settings.database_url) as connection:
        while not stop.is_set():
            began = time.monotonic()
            found, items = _count(connection)
            if found < at_least or items < at_least or time.monotonic() - began > PATIENCE_SECONDS / 3:
                faults.append(f"{found} orders, {items} items after {at_least} in {time.monotonic() - began:.2f} s")
            at_least = min(found, items)
            reads[0] += 1


def _read_in_an_old_snapshot(settings: Settings, stop: threading.Event, faults: list[str], reads: list[int]) -> None:
    with connect(settings.database_url) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        while not stop.is_set():
            with connection.transaction():
                first = _count(connection)
                time.sleep(0.02)
                second = _count(connection)
            if first != second or min(first) < ORDERS:
                faults.append(f"one snapshot, two answers: {first}, {second}")
            reads[1] += 1


def _count(connection: psycopg.Connection) -> tuple[int, int]:
    row = connection.execute(
        "select (select count(*) from shop.orders), (select count(*) from shop.order_items)"
    ).fetchone()
    assert row is not None
    return row


def test_every_projection_names_tables_that_exist(connection: psycopg.Connection) -> None:
    for projection in projections().values():
        for table in projection.tables:
            assert connection.execute("select to_regclass(%s) is not null", (table,)).fetchone() == (True,)
