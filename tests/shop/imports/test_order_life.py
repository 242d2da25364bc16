"""Orders with a life: statuses, cancellations, refunds and credit notes of files become their events.

The sums of the December 2010 sample are computed here from the file, without the importer.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock.errors import InvalidInput
from penstock.ingest.files import undo_import
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from penstock.views import read_view
from shop.orders.fold import load_order
from tests.shop.imports.figures import account, load, read_figures, types_of
from tests.shop.online_retail import SAMPLE

HEADER = (
    b"order_id,product_id,quantity,unit_price,ordered_at,customer_id,status,cancelled_at,refunded_amount,refunded_at\n"
)
STEPS = {
    "": ["OrderPlaced", "OrderCompleted"],
    "placed": ["OrderPlaced"],
    "paid": ["OrderPlaced", "PaymentReceived"],
    "shipped": ["OrderPlaced", "PaymentReceived", "OrderShipped"],
    "delivered": ["OrderPlaced", "PaymentReceived", "OrderShipped", "OrderDelivered"],
    "completed": ["OrderPlaced", "OrderCompleted"],
    "cancelled": ["OrderPlaced", "OrderCancelled"],
    "refunded": ["OrderPlaced", "OrderCompleted", "OrderRefunded"],
}
REFUNDS = "select aggregate_id, order_id, customer_id, currency, amount, refunded_at::date::text from shop.refunds"


def line(order: str, status: str = "", cancelled: str = "", refund: str = "", refunded: str = "") -> bytes:
    return f"{order},A,2,5,2025-03-01T10:00:00Z,c1,{status},{cancelled},{refund},{refunded}\n".encode()


def net_by_day(connection: psycopg.Connection) -> dict[str, tuple[Decimal, Decimal, Decimal]]:
    rows = read_view(connection, "daily_analytics", max_count=1000).rows
    return {str(row["day"]): (row["total_revenue"], row["refunds"], row["net_revenue"]) for row in rows}


def status_of(connection: psycopg.Connection, order_id: str) -> str | None:
    row = connection.execute("select status from shop.orders where order_id = %s", (order_id,)).fetchone()
    return row[0] if row else None


def refunds(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(f"{REFUNDS} order by 1".encode()).fetchall()


def sample_lines() -> Iterator[tuple[str, str, Decimal]]:
    """Invoice, day and amount of every line of the sample that is neither an adjustment nor of price 0."""
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if not row["InvoiceNo"].startswith("A") and Decimal(row["UnitPrice"]) > 0:
                amount = int(row["Quantity"]) * Decimal(row["UnitPrice"])
                yield row["InvoiceNo"], row["InvoiceDate"][:10], amount


def test_net_revenue_is_the_sum_over_all_lines_of_the_file(settings: Settings, connection: psycopg.Connection) -> None:
    net: dict[str, Decimal] = defaultdict(Decimal)
    back: dict[str, Decimal] = defaultdict(Decimal)
    notes = set()
    number = 0
    for invoice, day, amount in sample_lines():
        number += 1
        net[day] += amount
        if amount < 0:
            back[day] -= amount
            notes.add(invoice)
    done = load(settings, SAMPLE.read_bytes())
    assert (done.state, done.loaded) == ("completed", number)
    figures = read_figures(settings, connection)
    found = net_by_day(connection)
    assert {day: value for day, (*_, value) in found.items() if value} == {
        day: value for day, value in net.items() if value
    }
    assert {day: value for day, (_, value, _) in found.items() if value} == dict(back)
    assert {row[0]: row[2] for row in figures["days"]} == {row[0]: found[str(row[0])][0] for row in figures["days"]}, (
        "gross is what the daily figures say"
    )
    assert {row[0] for row in refunds(connection)} == notes
    assert not any(row[0].startswith("C") for row in figures["orders"])


def test_taking_the_sample_back_takes_its_credit_notes_back(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, SAMPLE.read_bytes())
    read_figures(settings, connection)
    before = refunds(connection)
    assert before
    undo_import(settings, done.id)
    read_figures(settings, connection)
    assert refunds(connection) == []
    assert all(row == (0, 0, 0) for row in net_by_day(connection).values())
    again = load(settings, SAMPLE.read_bytes())
    assert again.loaded == done.loaded
    read_figures(settings, connection)
    assert refunds(connection) == before


@pytest.mark.parametrize("status", STEPS)
def test_a_status_gives_the_events_up_to_it(settings: Settings, connection: psycopg.Connection, status: str) -> None:
    done = load(settings, HEADER + line("o1", status))
    assert account(done) == (1, 0, 0)
    assert types_of(connection, "order/o1") == STEPS[status]
    read_figures(settings, connection)
    assert status_of(connection, "o1") == {"": "completed", "refunded": "completed"}.get(status, status)
    assert done.result["events"] == len(STEPS[status])
    back = 10 if status == "refunded" else 0
    assert load_order(connection, "o1").state.refunded == back
    assert account(load(settings, HEADER + line("o1", status) + b"\n")) == (0, 1, 0)
    assert types_of(connection, "order/o1") == STEPS[status]


def test_a_word_that_is_no_status_is_named_and_a_table_of_values_reads_it(
    settings: Settings, connection: psycopg.Connection
) -> None:
    done = load(settings, HEADER + line("o1", "Versandt"))
    assert (done.loaded, done.rejected) == (0, 1)
    reasons = connection.execute("select field, reason from raw.import_rejects").fetchall()
    assert reasons == [("status", f"none of {', '.join(list(STEPS)[1:])}")]
    assert done.result["warnings"] == [
        "column 'status' has words that status does not know: 'Versandt'."
        """ --field 'status={"column": "status", "values": {"Versandt": "…"}}' says which of"""
        f" {', '.join(list(STEPS)[1:])} each of them means, beside those known"
    ]
    fields = {"status": {"column": "status", "values": {"Versandt": "shipped"}}}
    assert account(load(settings, HEADER + line("o1", "Versandt"), fields=fields)) == (1, 0, 0)
    assert types_of(connection, "order/o1") == STEPS["shipped"]


def test_cancellations_and_refunds_have_times_of_their_own(settings: Settings, connection: psycopg.Connection) -> None:
    cancelled = line("o1", "paid", cancelled="2025-03-02T08:00:00Z")
    refunded = line("o2", refund="2.50", refunded="2025-03-09T09:00:00Z")
    load(settings, HEADER + cancelled + refunded + line("o3", refund="0"))
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderCancelled"]
    assert types_of(connection, "order/o3") == ["OrderPlaced", "OrderCompleted"]
    stored = connection.execute(
        """select event_type, metadata ->> 'occurred_at', payload from public.event_store
           where event_type in ('OrderCancelled', 'OrderRefunded') order by position"""
    ).fetchall()
    refund = {"refund_id": "o2", "refunded_at": "2025-03-09T09:00:00Z", "amount": "2.500", "currency": "GBP"}
    assert stored == [
        ("OrderCancelled", "2025-03-02T08:00:00Z", {}),
        ("OrderRefunded", "2025-03-09T09:00:00Z", refund),
    ]
    read_figures(settings, connection)
    assert refunds(connection) == [("o2", "o2", "c1", "GBP", Decimal("2.5"), "2025-03-09")]
    found = net_by_day(connection)
    assert found["2025-03-01"] == (20, 0, 20)
    assert found["2025-03-09"] == (0, Decimal("2.5"), Decimal("-2.5"))


def test_what_an_order_without_revenue_gave_back_is_not_taken_from_it(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, HEADER + line("o1", "cancelled", refund="10") + line("o2"))
    read_figures(settings, connection)
    assert [row[0] for row in refunds(connection)] == ["o1"]
    assert net_by_day(connection)["2025-03-01"] == (10, 0, 10)


def test_a_later_file_adds_the_steps_that_are_missing_and_undo_takes_them_back(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, HEADER + line("o1", "paid") + line("o2"))
    before = read_figures(settings, connection)
    later = load(settings, HEADER + line("o1", "delivered") + line("o2", "cancelled", refund="4"))
    assert account(later) == (2, 0, 0)
    assert later.result == {"facts": 2, "events": 4}
    assert types_of(connection, "order/o1") == STEPS["delivered"]
    assert types_of(connection, "order/o2") == [*STEPS["completed"], "OrderCancelled", "OrderRefunded"]
    after = read_figures(settings, connection)
    assert (status_of(connection, "o1"), status_of(connection, "o2")) == ("delivered", "cancelled")
    assert [row[0] for row in refunds(connection)] == ["o2"]
    # nothing of it is new the next time, and a file without a status says nothing of steps
    assert account(load(settings, HEADER + line("o2", "cancelled", refund="4"))) == (0, 1, 0)
    assert account(load(settings, HEADER + line("o1"))) == (0, 1, 0)
    undone = undo_import(settings, later.id)
    assert undone.result["undo"] == {"removed": 0, "restored": 2, "kept": 0, "events": 6}
    assert read_figures(settings, connection) == before
    assert refunds(connection) == []
    load(settings, b"\n" + HEADER + line("o1", "delivered") + line("o2", "cancelled", refund="4"))
    assert read_figures(settings, connection) == after


@pytest.mark.parametrize(
    ("files", "ends"),
    [
        (["cancelled", "completed", "cancelled"], "cancelled"),
        (["completed", "cancelled", "completed"], "completed"),
        (["cancelled", "completed", "cancelled", "refunded", "cancelled", "cancelled"], "cancelled"),
        (["placed", "cancelled", "paid"], "cancelled"),
    ],
)
def test_the_latest_file_decides_between_completed_and_cancelled(
    settings: Settings, connection: psycopg.Connection, files: list[str], ends: str
) -> None:
    for number, status in enumerate(files):
        done = load(settings, HEADER + line("o1", status) + number * b"\n")
        assert account(done) == ((1, 0, 0) if status not in files[number - 1 : number] else (0, 1, 0))
    read_figures(settings, connection)
    assert (status_of(connection, "o1"), load_order(connection, "o1").state.status) == (ends, ends)
    rebuild(settings, "orders")
    advance_all(settings)
    assert status_of(connection, "o1") == ends
    last = load(settings, HEADER + line("o1", {"cancelled": "completed"}.get(ends, "cancelled")))
    undo_import(settings, last.id)
    read_figures(settings, connection)
    assert status_of(connection, "o1") == ends


def test_an_order_that_is_amended_gets_its_missing_steps_too(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, HEADER + line("o1", "placed"))
    more = line("o1", "shipped") + line("o1", "shipped").replace(b",A,", b",B,")
    assert account(load(settings, HEADER + more)) == (1, 1, 0)
    assert types_of(connection, "order/o1") == ["OrderPlaced", "OrderAmended", "PaymentReceived", "OrderShipped"]


def test_a_larger_refund_in_a_later_file_takes_the_place_of_the_smaller(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, HEADER + line("o1", refund="3"))
    load(settings, HEADER + line("o1", refund="7"))
    read_figures(settings, connection)
    assert [row[4] for row in refunds(connection)] == [7]
    assert load_order(connection, "o1").state.refunded == 7


def test_lines_of_less_than_0_pieces_are_credit_notes_where_the_option_says_so(
    settings: Settings, connection: psycopg.Connection
) -> None:
    header = b"order_id,product_id,quantity,unit_price,ordered_at,currency\n"
    file = header + b"C1,A,-2,5,2025-03-01T10:00:00Z,EUR\no1,A,3,5,2025-03-01T10:00:00Z,EUR\n"
    assert account(load(settings, file)) == (1, 0, 1)
    reasons = connection.execute("select field, reason from raw.import_rejects").fetchall()
    assert reasons == [("quantity", "less than 1: with the option also=credit_notes such lines are credit notes")]
    assert account(load(settings, file, also=["credit_notes"])) == (1, 1, 0)
    assert types_of(connection, "credit_note/C1") == ["CreditNoteIssued"]
    # the mapping of this header is remembered with it
    again = load(settings, file.replace(b"C1,A,-2", b"C2,A,-1"))
    assert (account(again), again.read_plan.also) == ((1, 1, 0), ["credit_notes"])
    with pytest.raises(InvalidInput, match="orders knows no rows called 'gifts'; it knows credit_notes"):
        load(settings, file, also=["gifts"])


def test_a_credit_note_of_another_content_is_refused(settings: Settings, connection: psycopg.Connection) -> None:
    header = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    note = b"C1,A,Lamp,-2,2010-12-01 09:41:00,5,,France\n"
    assert account(load(settings, header + note)) == (1, 0, 0)
    assert account(load(settings, header + note + note.replace(b"C1", b"C2"))) == (1, 1, 0)
    assert account(load(settings, header + note.replace(b"-2", b"-3"))) == (0, 0, 1)
    assert types_of(connection, "credit_note/C1") == ["CreditNoteIssued"]


ORDERS = st.lists(
    st.tuples(
        st.sampled_from(["o1", "o2", "o3"]),
        st.sampled_from(list(STEPS)),
        st.sampled_from(["", "0", "1.25", "10", "12"]),
        st.sampled_from(["", "2025-02-27T00:00:00Z", "2025-03-04T23:59:59Z"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ORDERS)
def test_net_is_gross_less_refunds_and_a_rebuild_says_the_same(
    settings: Settings, connection: psycopg.Connection, files: list[tuple[str, str, str, str, bool]]
) -> None:
    """Each entry is a file of one order, some of which are undone at once."""
    example = uuid4().hex  # the same content again would be the same import
    for number, (order, status, refund, refunded, is_undone) in enumerate(files):
        before = read_figures(settings, connection), refunds(connection)
        content = line(f"{example}-{order}", status, refund=refund, refunded=refunded)
        done = load(settings, HEADER + content + number * b"\n", remember=False)
        if is_undone and done.loaded:
            undo_import(settings, done.id)
            assert (read_figures(settings, connection), refunds(connection)) == before
    figures = read_figures(settings, connection)
    for gross, back, net in net_by_day(connection).values():
        assert net == gross - back
    completed = {row[0] for row in figures["orders"] if row[2] == "completed"}
    assert sum(row[0] for row in net_by_day(connection).values()) == 10 * len(completed)
    given_back = {row[0]: load_order(connection, row[0]).state.refunded for row in figures["orders"]}
    assert {row[0]: row[4] for row in refunds(connection)} == {key: back for key, back in given_back.items() if back}
    assert sum(row[1] for row in net_by_day(connection).values()) == sum(
        back for key, back in given_back.items() if key in completed
    )
    live = refunds(connection)
    rebuild(settings, "refunds")
    advance_all(settings)
    assert refunds(connection) == live
