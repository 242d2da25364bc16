"""Undo of an import that completed orders with lines that older imports hold, and of those older ones."""

from decimal import Decimal
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from penstock.errors import Conflict
from penstock.ingest.files import (
    Import,
    advance_import,
    create_import,
    import_status,
    rejects_csv,
    release_held,
    undo_import,
)
from penstock.settings import Settings

HEADER = "order_id,product_id,quantity,ordered_at,unit_price\n"
A1, A2, A3 = "A,P1,1,2026-01-01,1.10\n", "A,P2,2,2026-01-01,2.20\n", "A,P3,3,2026-01-01,3.30\n"
BAD = A2.replace(",2,2", ",two,2")
FAULTY, MENDED, WHOLE = (A1, BAD, A3), (A2,), (A1, A2, A3)
COUNTS = ("loaded", "rejected", "held", "duplicate", "pending")


def load(settings: Settings, *lines: str) -> Import:
    created, _ = create_import(settings, "orders", (HEADER + "".join(lines)).encode())
    done = advance_import(settings, created.id)
    assert done.error is None
    return done


def counts(settings: Settings, imported: Import) -> dict[str, int]:
    now = import_status(settings, imported.id)
    assert now.rows_read == sum(getattr(now, name) for name in COUNTS)
    return {name: getattr(now, name) for name in COUNTS if getattr(now, name)}


def listed(settings: Settings, imported: Import) -> list[str]:
    return "".join(rejects_csv(settings, imported.id)).splitlines()


def stored(connection: psycopg.Connection) -> dict[str, tuple[list[str], Decimal]]:
    """{order: (its products, its total)}, without events that were taken back."""
    rows = connection.execute(
        """select e.aggregate_id, e.payload -> 'items', (e.payload ->> 'total')::numeric from public.event_store as e
           where e.event_type in ('OrderPlaced', 'OrderAmended')
             and not exists (select from penstock.undone_events as u where u.id = e.id) order by e.position"""
    ).fetchall()
    return {order: (sorted(item["product_id"] for item in items), total) for order, items, total in rows}


ORDER_A = {"A": (["P1", "P2", "P3"], Decimal("15.40"))}


@pytest.mark.parametrize(("completing", "became"), [(MENDED, "loaded"), (WHOLE, "duplicate")])
def test_undo_of_what_completed_an_order_holds_its_lines_again(
    settings: Settings, connection: psycopg.Connection, completing: tuple[str, ...], became: str
) -> None:
    first = load(settings, *FAULTY)
    before, listed_before = import_status(settings, first.id), listed(settings, first)
    for _ in range(2):
        second = load(settings, *completing)
        assert counts(settings, second) == {"loaded": len(completing)}
        assert counts(settings, first) == {became: 2, "rejected": 1}
        assert stored(connection) == ORDER_A
        assert len(listed(settings, first)) == 2
        assert undo_import(settings, second.id).result["undo"]["removed"] == 1
        assert import_status(settings, first.id) == before
        assert listed(settings, first) == listed_before
        assert stored(connection) == {}


def test_undo_of_both_and_both_again_give_the_same(settings: Settings, connection: psycopg.Connection) -> None:
    first, second = load(settings, *FAULTY), load(settings, *MENDED)
    undo_import(settings, second.id)
    undo_import(settings, first.id)
    again = load(settings, *FAULTY)
    assert counts(settings, again) == {"rejected": 1, "held": 2}
    assert counts(settings, load(settings, *MENDED)) == {"loaded": 1}
    assert counts(settings, again) == {"rejected": 1, "loaded": 2}
    assert stored(connection) == ORDER_A


def test_undo_of_what_held_the_lines_keeps_the_order_that_another_completed(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first, second = load(settings, *FAULTY), load(settings, *MENDED)
    undone = undo_import(settings, first.id)
    assert undone.result["undo"] == {"removed": 0, "restored": 0, "kept": 1, "events": 0}
    assert stored(connection) == ORDER_A
    again = load(settings, *FAULTY)
    assert counts(settings, again) == {"rejected": 1, "held": 2}
    undo_import(settings, second.id)
    assert stored(connection) == {}
    assert counts(settings, first) == {"loaded": 2, "rejected": 1}, "as it was when it was undone"
    assert counts(settings, load(settings, *MENDED)) == {"loaded": 1}, "with the lines that are held now, once"
    assert counts(settings, again) == {"rejected": 1, "loaded": 2}
    assert stored(connection) == ORDER_A


def test_undo_of_a_release_holds_what_other_imports_had(settings: Settings, connection: psycopg.Connection) -> None:
    first, second = load(settings, A1, BAD), load(settings, A3, BAD)
    release_held(settings, second.id)
    assert stored(connection) == {"A": (["P1", "P3"], Decimal("11.00"))}
    undo_import(settings, second.id)
    assert counts(settings, first) == {"rejected": 1, "held": 1}
    assert stored(connection) == {}
    release_held(settings, first.id)
    assert stored(connection) == {"A": (["P1"], Decimal("1.10"))}


def test_a_line_held_since_is_not_held_twice(settings: Settings, connection: psycopg.Connection) -> None:
    first, second = load(settings, *FAULTY), load(settings, *MENDED)
    third = load(settings, A1, BAD)
    assert counts(settings, third) == {"rejected": 1, "held": 1}
    undo_import(settings, second.id)
    assert counts(settings, first) == {"rejected": 1, "held": 1, "duplicate": 1}
    load(settings, *MENDED)
    assert [counts(settings, each) for each in (first, third)] == [
        {"rejected": 1, "loaded": 1, "duplicate": 1}, {"rejected": 1, "loaded": 1},
    ]  # fmt: skip
    assert stored(connection) == ORDER_A


def test_undo_waits_for_an_import_that_completes_its_orders(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings, *FAULTY)
    waiting, _ = create_import(settings, "orders", (HEADER + A2).encode())
    while advance_import(settings, waiting.id, seconds=0).state != "forming":
        pass
    with pytest.raises(Conflict, match="another import is about to complete order A"):
        undo_import(settings, first.id)
    assert advance_import(settings, waiting.id).loaded == 1
    assert stored(connection) == ORDER_A


def test_what_completed_an_order_may_be_forgotten(settings: Settings, connection: psycopg.Connection) -> None:
    first, second = load(settings, *FAULTY), load(settings, *MENDED)
    connection.execute("delete from raw.imports where id = %s", (second.id,))
    assert counts(settings, load(settings, "\n", *MENDED)) == {"duplicate": 1}, "stored, and held no longer"
    assert counts(settings, first) == {"loaded": 2, "rejected": 1}
    connection.execute("delete from raw.imports where id = %s", (first.id,))
    assert connection.execute("select count(*) from raw.held_lines").fetchone() == (0,)


steps = st.lists(st.tuples(st.sampled_from(["load", "undo"]), st.integers(0, 3)), max_size=7)


@examples(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=steps)
def test_after_any_loads_and_undos_the_counts_are_what_is_stored(
    settings: Settings, connection: psycopg.Connection, steps: list[tuple[str, int]]
) -> None:
    """Each of four files is loaded or undone in any order; at last all lines come, and the order is whole."""
    order = f"X{uuid4().hex}"
    files = [[line.replace("A", order, 1) for line in lines] for lines in (FAULTY, MENDED, (A1, BAD), (A3, "\n", BAD))]
    live: dict[int, Import] = {}
    for step, number in steps:
        if step == "load" and number not in live:
            live[number] = load(settings, *files[number])
        elif step == "undo" and number in live:
            undo_import(settings, live.pop(number).id)
        held = connection.execute(
            "select count(*) from raw.held_lines where outcome is null and key = %s", (order,)
        ).fetchone()
        assert held == (sum(counts(settings, each).get("held", 0) for each in live.values()),)
    load(settings, *[line.replace("A", order, 1) for line in (A3, A2, A1)])
    assert stored(connection)[order] == ORDER_A["A"]
    for each in live.values():
        assert "held" not in counts(settings, each)
