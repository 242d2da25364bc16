"""The currency of imported orders: who says it, and that no order is ever a sum of two."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, dry_run, import_status, release_held
from penstock.settings import Settings

HEADER = "order_id,product_id,quantity,ordered_at,unit_price,currency\n"
RETAIL = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
JOURNEY = (
    "household_id,basket_id,product_id,quantity,sales_value,transaction_timestamp\n1,b,P,1,3.99,2017-01-01 09:00\n"
)
PLAIN = "order_id,product_id,quantity,ordered_at,unit_price\nA,P1,1,2026-01-01,1.10\n"
TWO = "its lines are in two currencies, and an amount in two is none"


def load(settings: Settings, text: str, **options: Any) -> Import:
    created, _ = create_import(settings, "orders", text.encode(), options=options)
    return advance_import(settings, created.id)


def lines(*said: tuple[str, str, str]) -> str:
    """A line for each order, product and currency."""
    return HEADER + "".join(f"{order},{product},1,2026-01-01,10,{currency}\n" for order, product, currency in said)


def placed(connection: psycopg.Connection) -> dict[str, tuple[str, str]]:
    """{order: (currency, total)} by what its latest event of this kind says."""
    rows = connection.execute(
        """select aggregate_id, payload ->> 'currency', payload ->> 'total' from public.event_store
           where event_type in ('OrderPlaced', 'OrderAmended', 'CreditNoteIssued') order by position"""
    )
    return {order: (currency, total) for order, currency, total in rows}


def rejected(connection: psycopg.Connection, imported: Import) -> list[tuple[int, str]]:
    return connection.execute(
        "select line, reason from raw.import_rejects where import_id = %s and outcome = 'rejected' order by line",
        (imported.id,),
    ).fetchall()


@pytest.mark.parametrize(
    ("text", "currency"),
    [(f"{RETAIL}\n1,P,MUG,1,2010-12-01 08:26:00,1,C,UK\n", "GBP"), (JOURNEY, "USD"), (PLAIN, "EUR")],
)
def test_a_profile_counts_before_the_setting(
    settings: Settings, connection: psycopg.Connection, text: str, currency: str
) -> None:
    assert load(replace(settings, currency="EUR"), text).state == "completed"
    assert {said for said, _ in placed(connection).values()} == {currency}


def test_a_file_of_orders_in_no_currency_is_refused(settings: Settings, connection: psycopg.Connection) -> None:
    nobody = replace(settings, currency=None)
    failed = load(nobody, PLAIN)
    assert (failed.state, failed.rows_read, placed(connection)) == ("failed", 0, {})
    assert "no column is recognised as currency" in str(failed.error)
    assert "PENSTOCK_CURRENCY" in str(failed.error)
    assert load(nobody, PLAIN, constants={"currency": "JPY"}).state == "completed"
    assert placed(connection) == {"A": ("JPY", "1.100")}


def test_an_order_in_two_currencies_is_rejected_whole_and_the_others_are_not(
    settings: Settings, connection: psycopg.Connection
) -> None:
    said = ["A P1 EUR", "B P1 EUR", "A P2 USD", "C P1 USD", "C P2 usd", "D P1 JPY"]
    text = lines(*((order, product, currency) for order, product, currency in map(str.split, said)))
    looked = dry_run(settings, "orders", text.encode())
    assert (looked["loaded"], looked["rejected"]) == (4, 2)
    done = load(settings, text)
    assert (done.loaded, done.rejected, done.duplicate, done.pending) == (4, 2, 0, 0)
    assert rejected(connection, done) == [(2, TWO), (4, TWO)]
    assert placed(connection) == {"B": ("EUR", "10.000"), "C": ("USD", "20.000"), "D": ("JPY", "10.000")}
    assert connection.execute("select count(*) from penstock.streams").fetchone() == (3,)
    mended = load(settings, lines(("A", "P1", "EUR"), ("A", "P2", "EUR")))
    assert (mended.loaded, mended.rejected, placed(connection)["A"]) == (2, 0, ("EUR", "20.000"))


def test_an_empty_cell_is_the_setting_and_not_what_the_line_beside_it_says(
    settings: Settings, connection: psycopg.Connection
) -> None:
    done = load(settings, lines(("A", "P1", "EUR"), ("A", "P2", ""), ("B", "P1", "GBP"), ("B", "P2", "")))
    assert (rejected(connection, done), placed(connection)) == ([(2, TWO), (3, TWO)], {"B": ("GBP", "20.000")})


def test_a_credit_note_in_two_currencies_is_rejected_too(settings: Settings, connection: psycopg.Connection) -> None:
    text = f"{RETAIL},Currency\n" + "".join(
        f"C1,P{n},MUG,-1,2010-12-01 08:26:00,1,C,UK,{code}\n" for n, code in enumerate(("GBP", "EUR"))
    )
    done = load(settings, text)
    assert (rejected(connection, done), placed(connection)) == ([(2, TWO), (3, TWO)], {})


def test_what_is_stored_stays_when_a_file_has_it_in_two_currencies(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, lines(("A", "P1", "EUR")))
    done = load(settings, lines(("A", "P1", "EUR"), ("A", "P2", "USD"), ("B", "P1", "EUR")))
    assert (done.loaded, rejected(connection, done)) == (1, [(2, TWO), (3, TWO)])
    assert placed(connection) == {"A": ("EUR", "10.000"), "B": ("EUR", "10.000")}


def test_lines_that_are_held_are_not_completed_in_another_currency(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first = load(settings, lines(("A", "P1", "EUR"), ("A", "P2", "EURO")))
    assert (first.held, first.rejected) == (1, 1)
    second = load(settings, lines(("A", "P2", "USD")))
    assert (second.loaded, rejected(connection, second), placed(connection)) == (0, [(2, TWO)], {})
    assert [reason for _, reason in rejected(connection, first)] == [TWO, "not 3 letters"]
    now = import_status(settings, first.id)
    assert (now.held, now.rejected, now.rows_read) == (0, 2, 2)
    third = load(settings, lines(("A", "P1", "EUR"), ("A", "P2", "EUR")))
    assert (third.loaded, placed(connection)) == (2, {"A": ("EUR", "20.000")})


def test_held_lines_of_two_currencies_are_not_released_as_one_order(
    settings: Settings, connection: psycopg.Connection
) -> None:
    bad = "A,P9,none,2026-01-01,10,EUR\n"
    first = load(settings, lines(("A", "P1", "EUR")) + bad + bad)
    second = load(settings, lines(("A", "P2", "USD")) + bad + bad)
    assert (first.held, second.held) == (1, 1)
    release_held(settings, second.id)
    assert placed(connection) == {}
    for each in (first, second):
        now = import_status(settings, each.id)
        assert (now.held, now.rejected, now.loaded, now.rows_read) == (0, 3, 0, 3)
        assert rejected(connection, each)[0] == (2, TWO)
