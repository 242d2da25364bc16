"""An order with a rejected line is held back whole, until later files complete it."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
import pytest

from penstock.errors import Conflict, NotFound
from penstock.ingest.files import (
    Import,
    advance_import,
    create_import,
    dry_run,
    import_status,
    kept_rejects,
    rejects,
    rejects_csv,
    release_held,
    run,
)
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
    return connection.execute(
        "select key, count(*) from raw.held_lines where outcome is null group by key order by key"
    ).fetchall()


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


class Statements:
    """A connection that keeps the texts of its statements."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.texts: list[str] = []

    def execute(self, query: Any, *arguments: Any) -> Any:
        self.texts.append(str(query))
        return self.connection.execute(query, *arguments)

    def cursor(self, **arguments: Any) -> Any:
        return self.connection.cursor(**arguments)


@pytest.mark.parametrize("room", [kept_rejects.KEPT_BYTES, 3000])
def test_held_lines_get_their_content_page_by_page(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    lines = [f"A,P{number},1,2026-01-01,1\n" for number in range(250)]
    done = load(settings, *lines, BAD)
    monkeypatch.setattr(rejects, "PAGE", 100)
    monkeypatch.setattr(kept_rejects, "KEPT_BYTES", room)
    connection.execute("update raw.import_rejects set line_content = null where outcome = 'held'")
    connection.execute("update raw.imports set rejects_kept_bytes = 0")
    seen = Statements(connection)
    rejects.fill_contents(seen, done.id, BytesIO((HEADER + "".join(lines) + BAD).encode()))  # type: ignore[arg-type]
    written = connection.execute(
        """select line_content from raw.import_rejects
           where outcome = 'held' and line_content is not null order by line"""
    ).fetchall()
    expected = [line.strip().encode() for line in lines]
    fits = next((number for number in range(250) if sum(map(len, expected[: number + 1])) > room), 250)
    assert [content for (content,) in written] == expected[:fits]
    updates = [text for text in seen.texts if "update raw.import_rejects" in text]
    assert len(updates) == fits // 100 + 1
    assert import_status(settings, done.id).rejects_kept_bytes <= room


def test_the_same_faults_again_hold_it_still(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD, A3)
    assert counts(settings, load(settings, A1, BAD, A3, "\n")) == {"rejected": 1, "duplicate": 2}
    assert orders(connection) == {}
    assert counts(settings, load(settings, A2)) == {"loaded": 1}
    assert counts(settings, first) == {"loaded": 2, "rejected": 1}


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


@pytest.mark.parametrize("lines", [(A1, '"A\n'), ('"A\n', A1)])
def test_a_broken_line_at_either_end_holds_the_order_beside_it(settings: Settings, lines: tuple[str, ...]) -> None:
    assert counts(settings, load(settings, *lines)) == {"rejected": 1, "held": 1}


def test_a_skipped_line_holds_nothing_back(settings: Settings, connection: psycopg.Connection) -> None:
    header = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    lines = (
        "1,P,x,1,2026-01-01,1.10,7,UK",
        "1,P,x,0,no time,1.10,7,UK",
        "1,P,x,1,2026-01-01,0,7,UK",
        "A1,P,x,1,,1,7,UK",
    )
    created, _ = create_import(settings, "orders", (header + "\n".join(lines)).encode())
    done = advance_import(settings, created.id)
    assert (done.state, counts(settings, done)) == ("completed", {"loaded": 1, "skipped": 3})
    assert orders(connection) == {"1": (["P"], Decimal("1.10"))}


def test_a_line_equal_to_the_one_held_is_not_the_whole_order(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first = load(settings, A1, BAD.replace("P2,two,2026-01-01,2.20", "P1,one,2026-01-01,1.10"))
    assert counts(settings, load(settings, A1)) == {"duplicate": 1}, "it may be the mended one, or the other again"
    assert orders(connection) == {}
    assert counts(settings, load(settings, A1, A1)) == {"loaded": 2}
    assert counts(settings, first) == {"duplicate": 1, "rejected": 1}
    assert orders(connection) == {"A": (["P1", "P1"], Decimal("2.20"))}


def test_the_whole_file_mended_completes_the_orders_beside_a_broken_line(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first = load(settings, A1, '"A,P2,2,2026-01-01,2.20\n', B1)
    assert counts(settings, load(settings, A1, A2, B1)) == {"loaded": 3}
    assert counts(settings, first) == {"duplicate": 2, "rejected": 1}
    assert held(connection) == []


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


def test_held_orders_are_released_as_they_are(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD, A3, B1, BAD.replace("A", "B", 1), B1.replace("B", "C"))
    second = load(settings, A1.replace("P1", "P7"), BAD)
    assert [counts(settings, each) for each in (first, second)] == [
        {"loaded": 1, "rejected": 2, "held": 3}, {"rejected": 1, "held": 1},
    ]  # fmt: skip
    with pytest.raises(NotFound, match="holds no order 'C'"):
        release_held(settings, first.id, ["A", "C"])
    released = release_held(settings, first.id, ["A"])
    assert (released.state, released.result) == (first.state, {"facts": 2, "events": 4, "released": 1})
    assert [counts(settings, each) for each in (first, second)] == [
        {"loaded": 3, "rejected": 2, "held": 1}, {"loaded": 1, "rejected": 1},
    ]  # fmt: skip
    assert orders(connection)["A"] == (["P1", "P3", "P7"], Decimal("12.10"))
    assert held(connection) == [("B", 1)]
    assert counts(settings, release_held(settings, first.id)) == {"loaded": 4, "rejected": 2}
    assert release_held(settings, first.id) == import_status(settings, first.id), "nothing is left"
    assert orders(connection)["B"] == (["P1"], Decimal("5.50"))
    left = connection.execute(
        "select relname from pg_class where starts_with(relname, 'import_') and relpersistence = 'u'"
    )
    assert left.fetchall() == []


def test_what_is_not_loaded_releases_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD)
    waiting, _ = create_import(settings, "orders", (HEADER + A2).encode())
    with pytest.raises(Conflict, match="waiting"):
        release_held(settings, waiting.id)
    while advance_import(settings, waiting.id, seconds=0).state != "forming":
        pass
    with pytest.raises(Conflict, match="another import is about to complete order A"):
        release_held(settings, first.id)
    assert advance_import(settings, waiting.id).loaded == 1
    assert counts(settings, first) == {"loaded": 1, "rejected": 1}


def test_an_import_that_fails_holds_and_claims_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD)
    failing, _ = create_import(settings, "orders", (HEADER + A2 + B1 + BAD.replace("A", "B", 1)).encode())
    while advance_import(settings, failing.id, seconds=0).state != "forming":
        pass
    assert held(connection) == [("A", 1), ("B", 1)]
    connection.execute("update raw.imports set attempts = 99 where id = %s", (failing.id,))
    assert advance_import(settings, failing.id).state == "failed"
    assert held(connection) == [("A", 1)]
    assert counts(settings, load(settings, A2, B1)) == {"loaded": 2}
    assert counts(settings, first) == {"loaded": 1, "rejected": 1}


def test_two_files_at_once_complete_an_order_once(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, A1, BAD)
    ways = [create_import(settings, "orders", (HEADER + text).encode())[0] for text in (A2, "\n" + A2)]
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda each: advance_import(settings, each.id), ways))
    found = [counts(settings, each) for each in (first, *done)]
    assert found[0] == {"loaded": 1, "rejected": 1}
    assert {"loaded": 1} in found[1:]
    assert orders(connection) == {"A": (["P1", "P2"], Decimal("5.50"))}


def test_a_crash_of_the_server_completes_nothing_twice(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 2)
    ids = [f"{n:02}" for n in range(12)]
    first = load(settings, *[line.replace("A", key, 1) for key in ids for line in (A1, BAD)])
    mended = [line.replace("A", key, 1) for key in ids for line in ((A2,) if key < "06" else (A2, A1))]
    faulty = [line.replace("A", "x", 1) for line in (A1, BAD)]
    created, _ = create_import(settings, "orders", (HEADER + "".join([*mended, *faulty])).encode())
    now, emptied = created, set()
    while not (now := advance_import(settings, created.id, seconds=0)).is_final:
        if (now.state, now.loaded > 9) not in emptied and (now.state != "appending" or now.loaded):
            emptied.add((now.state, now.loaded > 9))
            # what the recovery after a crash does to unlogged tables
            for (name,) in connection.execute(
                "select oid::regclass::text from pg_class where relpersistence = 'u' and relkind = 'r'"
            ).fetchall():
                connection.execute(f"truncate {name}")
    assert emptied >= {("loading", False), ("forming", False), ("appending", False), ("appending", True)}
    assert counts(settings, now) == {"loaded": 18, "rejected": 1, "held": 1}
    assert counts(settings, first) == {"loaded": 6, "duplicate": 6, "rejected": 12}
    found = orders(connection)
    assert (len(found), sum(len(products) for products, _ in found.values())) == (12, 24)
    assert held(connection) == [("x", 1)]
