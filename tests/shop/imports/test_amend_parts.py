"""An order with discount, shipping and tax that a file says otherwise, or says without them."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import undo_import
from penstock.projections import advance_all
from penstock.settings import Settings
from shop.orders.fold import load_order
from tests.shop.imports.figures import account, load, types_of
from tests.shop.orders.test_orders import place

HEADER = "order_id,product_id,quantity,unit_price,ordered_at,currency"
PARTS = "line_discount,line_tax,order_discount,order_shipping,order_tax,tax_included"
READ = "select total, discount, shipping, tax, tax_included, gross_sales from shop.orders where order_id = 'A-1'"
LINES = "select product_id, discount, tax from shop.order_items where order_id = 'A-1' order by line"


def file(*rows: str, parts: bool = True) -> bytes:
    header = f"{HEADER},{PARTS}" if parts else HEADER
    return "\n".join([header, *rows, ""]).encode()


def row(product_id: str, *parts: object) -> str:
    said = [f"A-1,{product_id},2,5.00,2026-11-21T09:30:00Z,EUR", *map(str, parts)]
    return ",".join(said + [""] * (7 - len(said) if parts else 0))


def read(settings: Settings, connection: psycopg.Connection) -> tuple[Any, ...]:
    advance_all(settings)
    found = connection.execute(READ).fetchone()
    assert found is not None
    return tuple(Decimal(value) if not isinstance(value, bool) else value for value in found)


def money(*amounts: str | bool) -> tuple[Any, ...]:
    return tuple(amount if isinstance(amount, bool) else Decimal(amount) for amount in amounts)


FULL = row("A", "1.00", "0.40", "1.50", "4.90", "1.75", "false")  # 10 - 1.50 + 4.90 + 1.75


def test_a_file_without_parts_leaves_those_of_an_order_that_a_command_placed(
    settings: Settings, connection: psycopg.Connection
) -> None:
    line = {"product_id": "A", "quantity": 2, "unit_price": "5.00", "discount": "1.00", "tax": "0.40"}
    said = {"order_id": "A-1", "currency": "EUR", "shipping": "4.90", "tax": "1.75", "tax_included": True}
    place(settings, items=[line], placed_at="2026-11-21T09:30:00Z", shipping_address="Kiel", **said)
    before = read(settings, connection)
    assert before == money("13.90", "1.00", "4.90", "1.75", True, "10.00")
    load(settings, file(row("A"), parts=False))
    assert "OrderAmended" not in types_of(connection, "order/A-1")
    assert read(settings, connection) == before
    # more lines: the same parts on top of them
    assert account(load(settings, file(row("A"), row("B"), parts=False))) == (1, 1, 0)
    assert read(settings, connection) == money("23.90", "1.00", "4.90", "1.75", True, "20.00")
    assert connection.execute("select shipping_address from shop.orders").fetchall() == [("Kiel",)]


def test_a_later_file_corrects_the_parts(settings: Settings, connection: psycopg.Connection) -> None:
    assert account(load(settings, file(FULL))) == (1, 0, 0)
    assert read(settings, connection) == money("15.15", "1.50", "4.90", "1.75", False, "10.00")
    assert connection.execute(LINES).fetchall() == [("A", Decimal("1.00"), Decimal("0.40"))]
    assert account(load(settings, file(FULL) + b"\n")) == (0, 1, 0)
    load(settings, file(row("A", "1.00", "0.40", "2.00", "3.00", "1.75", "true")))
    assert read(settings, connection) == money("11.00", "2.00", "3.00", "1.75", True, "10.00")
    assert types_of(connection, "order/A-1") == ["OrderPlaced", "OrderCompleted", "OrderAmended"]
    # what a line was reduced by is part of what it says
    load(settings, file(row("A", "1.20", "0.40", "2.00", "3.00", "1.75", "true")))
    assert connection.execute(LINES).fetchall() or read(settings, connection)
    advance_all(settings)
    assert connection.execute(LINES).fetchall() == [("A", Decimal("1.20"), Decimal("0.40"))]


@pytest.mark.parametrize(
    ("second", "expected"),
    [
        # the order's own parts are in both files and count once
        (row("B", "", "", "1.50", "4.90", "1.75", "false"), money("25.15", "1.50", "4.90", "1.75", False, "20.00")),
        # those of lines add up
        (row("B", "2.00", "3.00"), money("25.30", "3.00", "4.90", "3.40", False, "20.00")),
        (row("B", "", "", "", "", "", ""), money("25.15", "1.50", "4.90", "1.75", False, "20.00")),
    ],
)
def test_an_order_whose_lines_come_in_two_files_has_its_parts_once(
    settings: Settings, connection: psycopg.Connection, second: str, expected: tuple[Any, ...]
) -> None:
    load(settings, file(FULL))
    assert account(load(settings, file(second))) == (1, 0, 0)
    assert read(settings, connection) == expected


def test_taking_a_file_back_gives_the_order_its_parts_again(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, file(FULL))
    before, lines = read(settings, connection), connection.execute(LINES).fetchall()
    state = load_order(connection, "A-1").state
    later = load(settings, file(row("A", "", "", "2.00", "3.00", "0.75", "true"), row("B", "")))
    assert read(settings, connection) != before
    undo_import(settings, later.id)
    assert (read(settings, connection), connection.execute(LINES).fetchall()) == (before, lines)
    assert load_order(connection, "A-1").state == state


@pytest.mark.parametrize("order_total", ["", "13.40"])
def test_a_tax_is_in_the_prices_if_the_files_total_says_so(
    settings: Settings, connection: psycopg.Connection, order_total: str
) -> None:
    header = f"{HEADER},order_discount,order_shipping,order_tax,order_total"
    load(settings, f"{header}\n{row('A')},1.50,4.90,1.75,{order_total}\n".encode())
    expected = (
        money("13.40", "1.50", "4.90", "1.75", True, "10.00")
        if order_total
        else money("15.15", "1.50", "4.90", "1.75", False, "10.00")
    )
    assert read(settings, connection) == expected


def test_a_file_that_says_all_of_nothing_is_stored_as_one_that_says_none(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, file(row("A"), parts=False))
    assert account(load(settings, file(row("A", "0", "0.00", "0", "0", "0", "true")))) == (0, 1, 0)
    payload = connection.execute("select payload from public.event_store where event_type = 'OrderPlaced'").fetchone()
    assert payload is not None
    assert sorted(payload[0]) == ["country", "currency", "customer_id", "items", "order_id", "placed_at", "total"]
    assert "discount" not in payload[0]["items"][0]


def test_a_refunded_order_of_a_file_gives_back_what_it_cost_in_all(
    settings: Settings, connection: psycopg.Connection
) -> None:
    header = f"{HEADER},order_shipping,status"
    load(settings, f"{header}\n{row('A')},4.90,refunded\n".encode())
    advance_all(settings)
    assert connection.execute("select amount, currency from shop.refunds").fetchall() == [(Decimal("14.90"), "EUR")]
