"""An order that is stored and that a file says otherwise: corrected, extended, or the same."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.event_store import NewEvent, append
from penstock.ingest.files import advance_import, create_import, dry_run, run
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop.orders.fold import load_order
from tests.shop.imports.figures import ORDERS, account, load, read_figures, types_of

FIRST = b"o1,A,2,1.50,2025-03-01T10:00:00Z,c1\n"
SECOND = b"o1,B,1,4.00,2025-03-01T11:00:00Z,c1\n"


def row(connection: psycopg.Connection, order_id: str = "o1") -> tuple[Any, ...]:
    found = connection.execute(
        "select status, total, placed_at::text, customer_id from shop.orders where order_id = %s", (order_id,)
    ).fetchone()
    assert found is not None
    return found


def lines(connection: psycopg.Connection, order_id: str = "o1") -> list[tuple[Any, ...]]:
    return connection.execute(
        "select product_id, quantity, amount from shop.order_items where order_id = %s order by line", (order_id,)
    ).fetchall()


def test_a_file_that_says_an_order_otherwise_corrects_it(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + FIRST + SECOND)
    read_figures(settings, connection)
    done = load(settings, ORDERS + FIRST.replace(b",2,1.50", b",5,1.50") + SECOND)
    assert account(done) == (1, 1, 0), "one of the lines was stored as it is"
    assert done.result == {"facts": 1, "events": 1}
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderCompleted", "OrderAmended"]
    figures = read_figures(settings, connection)
    assert row(connection) == ("completed", Decimal("11.5"), "2025-03-01 10:00:00+00", "c1")
    assert lines(connection) == [("A", 5, Decimal("7.5")), ("B", 1, Decimal(4))]
    assert [(day[1], day[2]) for day in figures["days"]] == [(1, Decimal("11.5"))]
    assert [month[:3] for month in figures["months"]] == [(figures["months"][0][0], 1, Decimal("11.5"))]


@pytest.mark.parametrize("parts", [(FIRST, SECOND), (SECOND, FIRST)], ids=["first", "second"])
def test_an_order_whose_lines_come_in_two_files_is_whole_in_any_order(
    settings: Settings, connection: psycopg.Connection, parts: tuple[bytes, bytes]
) -> None:
    for part in parts:
        assert account(load(settings, ORDERS + part)) == (1, 0, 0)
        read_figures(settings, connection)
    assert row(connection) == ("completed", Decimal(7), "2025-03-01 10:00:00+00", "c1")
    assert sorted(lines(connection)) == [("A", 2, Decimal(3)), ("B", 1, Decimal(4))]
    read_figures(settings, connection)
    state = load_order(connection, "o1").state
    assert (state.status, state.total, state.placed_at) == ("completed", "7.000", "2025-03-01T10:00:00Z")


def test_a_file_with_more_lines_of_an_order_is_the_whole_order(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + FIRST)
    assert account(load(settings, ORDERS + SECOND + FIRST)) == (1, 1, 0)
    advance_all(settings)
    assert lines(connection) == [("B", 1, Decimal(4)), ("A", 2, Decimal(3))]


def test_a_file_that_says_the_same_with_other_names_is_a_duplicate(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + FIRST)
    header = b"order_id,product_id,quantity,unit_price,ordered_at,product_name\n"
    again = load(settings, header + b"o1,A,2,1.5,2025-03-01T10:00:00Z,Lamp\n")
    assert account(again) == (0, 1, 0)
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderCompleted"]


def test_an_order_that_moves_to_another_day_leaves_the_first(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + FIRST)
    before = read_figures(settings, connection)
    load(settings, ORDERS + FIRST.replace(b"2025-03-01", b"2025-02-27"))
    after = read_figures(settings, connection)
    assert [str(day[0]) for day in before["days"]] == ["2025-03-01"]
    assert [str(day[0]) for day in after["days"]] == ["2025-02-27"]
    assert [str(hour[0]) for hour in after["hours"]] == ["2025-02-27 10:00:00+00:00"]


def test_an_amendment_keeps_the_status(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + FIRST)
    append(connection, "order", "o1", "any", [NewEvent("OrderCancelled", {})])
    load(settings, ORDERS + FIRST + SECOND)
    figures = read_figures(settings, connection)
    assert row(connection)[:2] == ("cancelled", Decimal(7))
    assert figures["months"] == []


def test_an_order_may_be_amended_twice_and_a_rebuild_ends_the_same(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + FIRST)
    load(settings, ORDERS + FIRST.replace(b"A,2", b"A,3") + SECOND)
    load(settings, ORDERS + FIRST.replace(b"A,2", b"A,4"))
    live = read_figures(settings, connection)
    assert lines(connection) == [("A", 4, Decimal(6))]
    rebuilt = rebuild(settings, "orders")
    assert (rebuilt.deleted, rebuilt.inserted, rebuilt.parked) == (0, 0, 0)
    assert read_figures(settings, connection) == live


def test_after_a_crash_of_the_server_what_was_amended_counts_as_loaded(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not merged with itself once more, although another file has amended it since."""
    monkeypatch.setattr(run, "EVENTS_A_STEP", 1)
    load(settings, ORDERS + FIRST)
    other = FIRST.replace(b"o1", b"o2")
    created, _ = create_import(settings, "orders", ORDERS + SECOND + other)
    now = advance_import(settings, created.id, seconds=0)
    while now.loaded == 0:
        now = advance_import(settings, created.id, seconds=0)
    load(settings, ORDERS + b"o1,C,1,1.00,2025-03-01T12:00:00Z,c1\n")
    connection.execute(f"truncate staging.import_{created.id.hex}".encode())
    done = advance_import(settings, created.id)
    assert (account(done), done.result) == ((2, 0, 0), {"facts": 2, "events": 3})
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderCompleted", "OrderAmended", "OrderAmended"]
    advance_all(settings)
    assert [product for product, *_ in lines(connection)] == ["A", "B", "C"]


def test_imports_at_once_of_the_same_orders_lose_no_line(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 7)
    products = ["A", "B", "C", "D"]
    # in another order in each file: each step locks other orders
    texts = [
        "".join(f"o{number * (place + 1) % 53},{product},1,1.00,2025-03-01T10:00:00Z,c1\n" for number in range(53))
        for place, product in enumerate(products)
    ]
    created = [create_import(settings, "orders", ORDERS + text.encode())[0] for text in texts]
    with ThreadPoolExecutor(len(created)) as executor:
        done = list(executor.map(lambda each: advance_import(settings, each.id), created))
    assert [(each.error, account(each)) for each in done] == [(None, (53, 0, 0))] * 4
    assert sum(each.result["events"] for each in done) == 53 * (2 + 3)
    advance_all(settings)
    assert connection.execute(
        "select count(*), sum(total), count(distinct status) from shop.orders where total = 4"
    ).fetchone() == (53, 212, 1)


def test_a_dry_run_knows_what_would_be_amended(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + FIRST)
    found = dry_run(settings, "orders", ORDERS + FIRST + SECOND)
    assert (found["loaded"], found["duplicate"], found["rejected"]) == (1, 1, 0)
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderCompleted"]
