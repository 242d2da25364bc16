"""An order with a rejected line is held back whole, until later files complete it."""

from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, dry_run, import_status, rejects_csv, run
from penstock.settings import Settings

HEADER = "order_id,product_id,quantity,ordered_at,unit_price\n"
A1, A2, A3 = "A,P1,1,2026-01-01,1.10\n", "A,P2,2,2026-01-01,2.20\n", "A,P3,3,2026-01-01,3.30\n"
B1 = "B,P1,5,2026-01-02,1.10\n"
BAD = A2.replace(",2,2", ",two,2")


def load(settings: Settings, *lines: str, **arguments: Any) -> Import:
    created, _ = create_import(settings, "orders", (HEADER + "".join(lines)).encode(), **arguments)
    done = advance_import(settings, created.id)
    assert done.error is None
    return done


def counts(settings: Settings, imported: Import) -> dict[str, int]:
    """The counts that are not 0, as they are now."""
    now = import_status(settings, imported.id)
    names = ("loaded", "skipped", "rejected", "held", "duplicate", "pending")
    assert now.rows_read == sum(getattr(now, name) for name in names)
    return {name: getattr(now, name) for name in names if getattr(now, name)}


def orders(connection: psycopg.Connection) -> dict[str, tuple[list[str], Decimal]]:
    """{order: (its products, its total)}"""
    rows = connection.execute(
        """select aggregate_id, payload -> 'items', (payload ->> 'total')::numeric from public.event_store
           where event_type = 'OrderPlaced'"""
    ).fetchall()
    return {order: ([item["product_id"] for item in items], total) for order, items, total in rows}


def held(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select key, count(*) from raw.held_lines group by key order by key").fetchall()


def test_an_order_with_a_rejected_line_is_held_back_whole(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, A1, BAD, A3, B1)
    assert done.state == "completed_with_rejects"
    assert counts(settings, done) == {"loaded": 1, "rejected": 1, "held": 2}
    assert orders(connection) == {"B": (["P1"], Decimal("5.50"))}
    rejects = "".join(rejects_csv(settings, done.id)).splitlines()
    reason = "held: line 3 of order A was rejected: quantity: not a whole number"
    assert rejects[1:] == [
        f'"2","","held","order_id","{reason}","{A1.strip()}"',
        f'"3","{len(HEADER + A1)}","rejected","quantity","not a whole number","{BAD.strip()}"',
        f'"4","","held","order_id","{reason}","{A3.strip()}"',
    ]


@pytest.mark.parametrize("mended", [(A1, A2, A3), (A3, A2, A1)])
def test_the_whole_order_again_completes_it(
    settings: Settings, connection: psycopg.Connection, mended: tuple[str, ...]
) -> None:
    first = load(settings, A1, BAD, A3, B1)
    second = load(settings, *mended)
    assert counts(settings, second) == {"loaded": 3}
    assert counts(settings, first) == {"loaded": 1, "rejected": 1, "duplicate": 2}
    assert orders(connection)["A"] == ([line.split(",")[1] for line in mended], Decimal("15.40"))
    assert held(connection) == []
    assert "held" not in "".join(rejects_csv(settings, first.id))


def test_the_mended_lines_alone_complete_it(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD, A3, B1)
    second = load(settings, A2)
    assert counts(settings, second) == {"loaded": 1}
    assert counts(settings, first) == {"loaded": 3, "rejected": 1}
    assert orders(connection)["A"] == (["P1", "P3", "P2"], Decimal("15.40"))
    assert held(connection) == []
    (cause,) = connection.execute(
        "select metadata ->> 'causation_id' from public.event_store order by position desc limit 1"
    )
    assert cause == (f"import:{second.id}#line 2",)


def test_mended_lines_may_come_in_several_files(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD, BAD.replace("two", "2,5"))
    second = load(settings, A2)
    assert counts(settings, second) == {"held": 1}
    assert "lacks more lines than this file has" in "".join(rejects_csv(settings, second.id))
    third = load(settings, A3)
    assert [counts(settings, each) for each in (first, second, third)] == [
        {"loaded": 1, "rejected": 2}, {"loaded": 1}, {"loaded": 1},
    ]  # fmt: skip
    assert orders(connection) == {"A": (["P1", "P2", "P3"], Decimal("15.40"))}


def test_more_or_other_lines_than_are_missing_hold_the_order_until_all_of_it_comes(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first = load(settings, A1, A3, BAD)
    second = load(settings, A1, A2)
    assert counts(settings, second) == {"duplicate": 1, "held": 1}
    again = load(settings, BAD, "\n")
    assert counts(settings, again) == {"rejected": 1}
    assert orders(connection) == {}
    third = load(settings, A3, A2, A1)
    assert counts(settings, third) == {"loaded": 3}
    assert [counts(settings, each) for each in (first, second)] == [
        {"rejected": 1, "duplicate": 2}, {"duplicate": 2},
    ]  # fmt: skip
    assert orders(connection) == {"A": (["P3", "P2", "P1"], Decimal("15.40"))}
    assert held(connection) == []


def test_equal_lines_of_one_order_are_counted_each(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, A1, BAD)
    assert counts(settings, load(settings, A1, A2)) == {"duplicate": 1, "held": 1}, "one of two equal lines"
    assert counts(settings, load(settings, A1, A1, A2)) == {"loaded": 3}
    assert counts(settings, first) == {"rejected": 1, "duplicate": 2}
    assert orders(connection) == {"A": (["P1", "P1", "P2"], Decimal("6.60"))}


@pytest.mark.parametrize(
    ("broken", "away"),
    [
        ('A,"P2"x,2,2026-01-01,2.20\n', {"A", "B"}),
        (",P2,2,2026-01-01,2.20\n", {"A", "B"}),
        ("A,P2,2,2026-01-01\n", {"A"}),
        ("AP2,2,2026-01-01,2.20\n", {"A", "B"}),
        ("C,P2,2,2026-01-01\n", {"A", "B", "C"}),
    ],
)
def test_a_line_whose_order_is_not_certain_holds_the_orders_beside_it(
    settings: Settings, connection: psycopg.Connection, broken: str, away: set[str]
) -> None:
    others = [B1.replace("B", order) for order in "CD"]
    done = load(settings, others[0], A1, broken, B1, others[1])
    assert {"A", "B", "C", "D"} - set(orders(connection)) == away
    assert counts(settings, done) == {"loaded": 4 - len(away), "held": len(away), "rejected": 1}


def test_a_skipped_line_holds_nothing_back(settings: Settings, connection: psycopg.Connection) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    lines = (
        "1,P,x,1,2026-01-01,1.10,7,UK",
        "1,P,x,-1,no time,1.10,7,UK",
        "1,P,x,1,2026-01-01,0,7,UK",
        "C1,P,x,1,,1,7,UK",
    )
    created, _ = create_import(settings, "orders", (header + "\n".join(lines)).encode())
    done = advance_import(settings, created.id)
    assert (done.state, counts(settings, done)) == ("completed", {"loaded": 1, "skipped": 3})
    assert orders(connection) == {"1": (["P"], Decimal("1.10"))}


def test_a_dry_run_counts_what_would_be_held(settings: Settings, connection: psycopg.Connection) -> None:
    def look(*lines: str) -> dict[str, int]:
        found = dry_run(settings, "orders", (HEADER + "".join(lines)).encode())
        return {name: found[name] for name in ("loaded", "rejected", "held", "duplicate") if found[name]}

    assert look(A1, BAD, A3, B1) == {"loaded": 1, "rejected": 1, "held": 2}
    load(settings, A1, BAD, A3, B1)
    assert look(A2) == {"loaded": 1}
    assert look(A1, A2, A3) == {"loaded": 3}
    assert look(A1) == {"duplicate": 1}
    assert held(connection) == [("A", 2)]


@pytest.mark.parametrize("rows_for_two", [10_000, 10])
def test_a_large_file_holds_bucket_by_bucket(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, rows_for_two: int
) -> None:
    monkeypatch.setattr(run, "ROWS_FOR_TWO", rows_for_two)
    monkeypatch.setattr(run, "ROWS_A_BUCKET", 100)
    monkeypatch.setattr(run, "EVENTS_A_STEP", 30)
    lines = [f"{n % 100},P{n},{'x' if n in (7, 8, 507) else 1},2026-01-01,1\n" for n in range(600)]
    first = load(settings, *lines)
    assert counts(settings, first) == {"loaded": 588, "rejected": 3, "held": 9}
    second = load(settings, *[line.replace("x", "1") for line in lines if ",x," in line or line.startswith("9,")])
    assert counts(settings, second) == {"loaded": 3, "duplicate": 6}
    assert counts(settings, first) == {"loaded": 597, "rejected": 3}
    found = orders(connection)
    assert len(found) == 100
    assert all((len(products), total) == (6, 6) for products, total in found.values())
