"""Payments of orders: each goes on with its order's stream, once, in whatever order the files come and come again."""

from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, dry_run, rejects_csv, run, undo_import
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop.orders.fold import load_order
from tests.integration.ingest.files.test_events import crashed_while_appending
from tests.shop.imports.exports import STRIPE_PAYMENTS, all_events, written
from tests.shop.imports.figures import account, load, types_of

ORDERS = b"order_id,product_id,quantity,unit_price,ordered_at,customer_id,currency,status\n"
PAYMENTS = b"payment_id,order_id,amount,paid_at,currency,method,refunded_amount,refunded_at\n"
PAID = b"ch_1,7,10.00,2025-03-01T10:05:00Z,EUR,visa,,\n"


def order(order_id: str, status: str = "placed") -> bytes:
    return f"{order_id},A,2,5,2025-03-01T10:00:00Z,c1,EUR,{status}\n".encode()


def give_back(amount: str, day: int) -> bytes:
    return f"ch_1,7,10.00,2025-03-01T10:05:00Z,EUR,visa,{amount},2025-03-{day:02d}T09:00:00Z\n".encode()


def refunds(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select order_id, refund_id, currency, amount, refunded_at::date::text from shop.refunds order by 1, 2"
    ).fetchall()


def test_a_payment_makes_a_placed_order_paid_and_counts_once(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + order("7") + order("8", "completed"))
    file = PAYMENTS + PAID + b"ch_2,8,10,2025-03-02T00:00:00Z,EUR,,,\n"
    assert account(load(settings, file, "payments")) == (2, 0, 0)
    assert account(load(settings, file + b"ch_2,8,10,2025-03-02T00:00:00Z,EUR,,,\n", "payments")) == (0, 3, 0)
    assert types_of(connection, "order/7") == ["OrderPlaced", "PaymentReceived"]
    assert types_of(connection, "order/8") == ["OrderPlaced", "OrderCompleted", "PaymentReceived"]
    all_events(connection, "PaymentReceived")  # all fit their schemas
    with connection.transaction():
        found = load_order(connection, "7").state
    assert (found.status, found.payment_method, found.transaction_id) == ("paid", "visa", "ch_1")
    advance_all(settings)
    rows = connection.execute("select order_id, status, transaction_id, paid_at::text from shop.orders order by 1")
    assert [row[:3] for row in rows] == [("7", "paid", "ch_1"), ("8", "completed", "ch_2")]


def test_a_payment_of_an_order_that_is_not_there_is_rejected_and_the_file_may_come_again(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + order("8"))
    file = PAYMENTS + give_back("4", 9) + b"ch_2,8,10,2025-03-02T00:00:00Z,EUR,,,\n"
    early = load(settings, file, "payments")
    assert (account(early), early.state, early.result["early"]) == ((1, 0, 1), "completed_with_rejects", 1)
    assert "there is no order 7 yet: load it, then this file once more" in "".join(rejects_csv(settings, early.id))
    assert connection.execute("select version from penstock.streams where aggregate_id = '7'").fetchall() == []

    load(settings, ORDERS + order("7"))
    again = load(settings, file, "payments")
    assert (again.id != early.id, account(again)) == (True, (1, 1, 0))
    assert types_of(connection, "order/7") == ["OrderPlaced", "PaymentReceived", "OrderRefunded"]
    assert create_import(settings, "payments", file)[1], "now it is known"


@pytest.mark.parametrize("files", list(permutations([PAID, give_back("4", 9), give_back("6.50", 12)])))
def test_what_was_given_back_so_far_is_the_largest_amount_in_any_order_of_files(
    settings: Settings, connection: psycopg.Connection, files: tuple[bytes, ...]
) -> None:
    load(settings, ORDERS + order("7", "completed"))
    for content in files:
        load(settings, PAYMENTS + content, "payments")
        advance_all(settings)
    for content in files:
        assert load(settings, PAYMENTS + content + b"\n", "payments").loaded == 0
    advance_all(settings)
    assert refunds(connection) == [("7", "ch_1", "EUR", Decimal("6.50"), "2025-03-12")]
    assert types_of(connection, "order/7").count("PaymentReceived") == 1
    all_events(connection, "OrderRefunded")
    rebuild(settings, "refunds")
    assert refunds(connection) == [("7", "ch_1", "EUR", Decimal("6.50"), "2025-03-12")]


def test_lines_of_one_payment_in_one_file_are_one_payment(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + order("7", "completed"))
    done = load(settings, PAYMENTS + PAID + give_back("4", 9) + give_back("6", 12) + give_back("6", 12), "payments")
    assert account(done) == (1, 3, 0)
    assert types_of(connection, "order/7")[2:] == ["PaymentReceived", "OrderRefunded"]


def test_what_is_said_twice_of_a_stored_payment_is_appended_once(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + order("7", "completed"))
    load(settings, PAYMENTS + PAID, "payments")
    assert account(load(settings, PAYMENTS + give_back("6", 12) + give_back("6", 12), "payments")) == (1, 1, 0)
    assert types_of(connection, "order/7")[2:] == ["PaymentReceived", "OrderRefunded"]


def test_two_refunds_with_ids_of_their_own_are_two(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + order("7", "completed"))
    header = b"payment_id,order_id,amount,paid_at,refund_id,refunded_amount,refunded_at\n"
    line = b"ch_1,7,10,2025-03-01T10:05:00Z,re_%d,%d,2025-03-0%dT00:00:00Z\n"
    done = load(settings, header + line % (1, 3, 2) + line % (2, 4, 5), "payments")
    assert account(done) == (2, 0, 0)
    assert load(settings, header + line % (2, 4, 5) + line % (1, 3, 2), "payments").loaded == 0
    advance_all(settings)
    # the currency is the order's where the file says none
    assert [row[1:4] for row in refunds(connection)] == [("re_1", "EUR", Decimal(3)), ("re_2", "EUR", Decimal(4))]


def test_one_payment_pays_one_order_and_one_amount(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + order("7") + order("8"))
    load(settings, PAYMENTS + PAID, "payments")
    done = load(settings, PAYMENTS + PAID.replace(b"10.00", b"11.00") + PAID.replace(b",7,", b",8,"), "payments")
    assert account(done) == (0, 0, 2)
    # an export without the method is the same payment
    assert account(load(settings, PAYMENTS + PAID.replace(b"visa", b""), "payments")) == (0, 1, 0)
    assert types_of(connection, "order/8") == ["OrderPlaced"]


def test_a_payment_without_an_order_is_rejected(settings: Settings) -> None:
    done = load(settings, PAYMENTS + PAID.replace(b",7,", b",,"), "payments")
    assert account(done) == (0, 0, 1)
    assert "order_id" in "".join(rejects_csv(settings, done.id))


def test_undo_takes_payments_and_refunds_back_and_the_file_loads_again(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + order("7"))
    done = load(settings, PAYMENTS + give_back("4", 9), "payments")
    undo_import(settings, done.id)
    advance_all(settings)
    rows = connection.execute("select status, transaction_id from shop.orders").fetchall()
    assert (rows, refunds(connection)) == ([("placed", None)], [])
    assert account(load(settings, PAYMENTS + give_back("4", 9), "payments")) == (1, 0, 0)
    advance_all(settings)
    assert connection.execute("select status, transaction_id from shop.orders").fetchall() == [("paid", "ch_1")]
    assert len(refunds(connection)) == 1


def test_a_dry_run_counts_what_would_be_rejected(settings: Settings) -> None:
    load(settings, ORDERS + order("8"))
    result = dry_run(settings, "payments", PAYMENTS + PAID)
    assert (result["loaded"], result["rejected"]) == (0, 1)


def test_after_a_crash_of_the_server_each_payment_and_refund_is_there_once(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 2)
    load(settings, ORDERS + b"".join(order(str(number)) for number in range(5)))
    line = "ch_{0},{0},10,2025-03-01T10:05:00Z,EUR,,{1},2025-03-09T00:00:00Z\n"
    load(settings, PAYMENTS + "".join(line.format(number, "") for number in range(2)).encode(), "payments")
    # two known payments with a new refund, appended as steps, then new ones
    file = PAYMENTS + "".join(line.format(number, 4) for number in range(5)).encode()
    created, _ = create_import(settings, "payments", file)
    crashed_while_appending(settings, connection, created)
    done = advance_import(settings, created.id)
    assert (done.state, account(done), done.result["events"]) == ("completed", (5, 0, 0), 8)
    for number in range(5):
        assert types_of(connection, f"order/{number}")[1:] == ["PaymentReceived", "OrderRefunded"]


def stripe(settings: Settings, *rows: dict[str, object]) -> Import:
    created, _ = create_import(settings, "payments", written(STRIPE_PAYMENTS, list(rows)))
    return advance_import(settings, created.id)


def charge(charge_id: str, **values: str) -> dict[str, object]:
    usual: dict[str, object] = {
        "id": charge_id, "Created date (UTC)": "2025-03-01 23:30:10", "Amount": "10.00", "Amount Refunded": "0.00",
        "Currency": "eur", "Captured": "true", "Status": "Paid", "Card Brand": "Visa", "order_id (metadata)": "7",
    }  # fmt: skip
    return usual | values


def test_the_payments_of_stripes_dashboard(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, ORDERS + order("7") + order("8") + order("9"))
    done = stripe(
        replace(settings, timezone="America/New_York"),
        charge("ch_1"),
        charge("ch_2", Status="Failed", Captured="false"),
        charge("ch_3", Captured="false", **{"order_id (metadata)": "8"}),
        charge(
            "ch_4",
            Status="Refunded",
            **{"order_id (metadata)": "9", "Amount Refunded": "10.00", "Refunded date (UTC)": "2025-03-03 11:00:00"},
        ),
        charge("ch_5", **{"order_id (metadata)": ""}),
    )
    assert (done.error, done.read_plan.profile) == (None, "stripe_payments")
    assert (account(done), done.skipped) == ((2, 0, 1), 2)
    all_events(connection, "OrderRefunded")
    rows = connection.execute(
        """select aggregate_id, event_type, payload ->> 'amount', payload ->> 'currency', metadata ->> 'occurred_at'
           from public.event_store where event_type in ('PaymentReceived', 'OrderRefunded') order by position"""
    ).fetchall()
    assert rows == [
        ("7", "PaymentReceived", "10.000", "EUR", "2025-03-01T23:30:10Z"),
        ("9", "PaymentReceived", "10.000", "EUR", "2025-03-01T23:30:10Z"),
        ("9", "OrderRefunded", "10.000", "EUR", "2025-03-03T11:00:00Z"),
    ]


def test_a_stripe_export_without_the_orders_asks_for_them(settings: Settings) -> None:
    header = STRIPE_PAYMENTS.replace(",order_id (metadata)", "")
    row = {name: value for name, value in charge("ch_1").items() if name != "order_id (metadata)"}
    created, _ = create_import(settings, "payments", written(header, [row]))
    assert "order_id" in str(advance_import(settings, created.id).error)
