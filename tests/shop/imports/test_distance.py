"""`loaded` is what the store gained: however far apart two equal lines are, and whatever was killed between."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, import_status, run
from penstock.settings import Settings

STEP = 10
DISTANCES = (1, STEP - 1, STEP, STEP + 1, 2 * STEP + 5, 7 * STEP)


def numbers() -> list[int]:
    """The number of the fact in each line: of each distance two that are so far apart, the others met once."""
    lines: dict[int, int] = {}
    for fact, distance in enumerate(DISTANCES):
        first = next(place for place in range(1000) if place not in lines and place + distance not in lines)
        lines[first] = lines[first + distance] = fact
    return [lines.get(place, 100 + place) for place in range(max(lines) + 2)]


def table(header: str, line: Callable[[int], str]) -> str:
    return header + "\n" + "".join(line(number) + "\n" for number in numbers())


def event(number: int) -> dict[str, Any]:
    return {
        "aggregate_type": "parcel",
        "aggregate_id": str(number % 7),
        "event_type": "parcel.scanned",
        "payload": {"number": number},
        "id": f"scan-{number}",
        "occurred_at": "2026-01-01T00:00:00Z",
    }


FILES = {
    "products": ("products", table("sku,name,category,listed_at", lambda n: f"P{n},Lamp {n},Light,2026-01-01")),
    "products without a time": ("products", table("sku,name,category", lambda n: f"P{n},Lamp {n},Light")),
    "customers": ("customers", table("id,name,registered_at", lambda n: f"{n},Ann {n},2026-01-01")),
    "inventory": ("inventory", table("sku,delta,reference", lambda n: f"P{n % 5},{n},r{n}")),
    "events": ("events", "\n".join(json.dumps(event(n)) for n in numbers())),
    "events of an array on one line": ("events", json.dumps([event(n) for n in numbers()])),
    "events of an array": ("events", json.dumps([event(n) for n in numbers()], indent=1)),
}


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", STEP)


def gained(connection: psycopg.Connection) -> int:
    row = connection.execute("select count(*) from public.event_store").fetchone()
    assert row is not None
    return int(row[0])


def lose_staged_rows(connection: psycopg.Connection, imported: Import) -> None:
    """As a crash of the server leaves unlogged tables."""
    base = f"staging.import_{imported.id.hex}"
    connection.execute(f"truncate {base}, {base}_runs, {base}_events".encode())


def crashed_after(settings: Settings, connection: psycopg.Connection, created: Import, ranges: int) -> Import:
    """Advance, with a crash of the server once so many ranges were appended."""
    while (now := import_status(settings, created.id)).progress.get("appended", 0) < ranges * STEP and not now.is_final:
        advance_import(settings, created.id, seconds=0)
    if not now.is_final:
        lose_staged_rows(connection, now)
    return advance_import(settings, created.id)


@pytest.mark.parametrize("name", FILES)
def test_a_repeat_is_a_duplicate_at_any_distance(settings: Settings, connection: psycopg.Connection, name: str) -> None:
    target, text = FILES[name]
    created, _ = create_import(settings, target, text.encode())
    done = advance_import(settings, created.id)
    lines, different = len(numbers()), len(set(numbers()))
    assert (done.state, done.rows_read, done.rejected) == ("completed", lines, 0)
    assert (done.loaded, done.duplicate) == (different, lines - different)
    assert done.loaded == gained(connection)
    again, _ = create_import(settings, target, (text + "\n").encode())
    assert advance_import(settings, again.id).loaded == (0 if "without" not in name else gained(connection) - different)


@pytest.mark.parametrize("ranges", [1, 3])
@pytest.mark.parametrize("name", FILES)
def test_a_crash_between_two_ranges_changes_no_count(
    settings: Settings, connection: psycopg.Connection, name: str, ranges: int
) -> None:
    target, text = FILES[name]
    created, _ = create_import(settings, target, text.encode())
    done = crashed_after(settings, connection, created, ranges)
    different = len(set(numbers()))
    assert (done.state, done.loaded, done.duplicate) == ("completed", different, len(numbers()) - different)
    assert done.loaded == gained(connection)


def test_a_repeat_is_a_duplicate_beyond_a_real_step(settings: Settings, connection: psycopg.Connection) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "EVENTS_A_STEP", 10_000)
        events = [event(number % 10_001) for number in range(10_400)]
        created, _ = create_import(settings, "events", json.dumps(events).encode())
        done = advance_import(settings, created.id)
    assert (done.loaded, done.duplicate, gained(connection)) == (10_001, 399, 10_001)


@pytest.mark.parametrize("ranges", [1, 2, 3])
@pytest.mark.parametrize("apart", [1, 4, STEP, 2 * STEP])
def test_a_state_that_changes_back_is_counted_alike_at_any_distance(
    settings: Settings, connection: psycopg.Connection, apart: int, ranges: int
) -> None:
    """Light, Light, Home, Light: three states and a duplicate; a server that crashes has them read again."""
    categories = ["Light", "Light", "Home", "Light"]
    lines = ["sku,name,category"]
    for turn, category in enumerate(categories):
        lines += [f"A,Lamp,{category}", *(f"other-{turn}-{n},Lamp,Light" for n in range(apart))]
    created, _ = create_import(settings, "products", "\n".join(lines).encode())
    done = crashed_after(settings, connection, created, ranges)
    assert (done.state, done.loaded, done.duplicate) == ("completed", 3 + 4 * apart, 1)
    listed = connection.execute(
        """select payload ->> 'category', split_part(metadata ->> 'causation_id', '#', 2)
           from public.event_store where aggregate_id = 'A' order by version"""
    ).fetchall()
    first, third, fourth = (2 + turn * (apart + 1) for turn in (0, 2, 3))
    assert listed == [("Light", f"line {first}"), ("Home", f"line {third}"), ("Light", f"line {fourth}")]


def test_orders_spread_over_the_whole_file_are_loaded_once(settings: Settings, connection: psycopg.Connection) -> None:
    lines = ["order_id,product_id,quantity,ordered_at,unit_price"]
    lines += [f"{n % 35},P{n},1,2026-01-01,2.5" for n in range(140)]
    created, _ = create_import(settings, "orders", "\n".join(lines).encode())
    done = crashed_after(settings, connection, created, 2)
    assert (done.loaded, done.duplicate, done.result) == (140, 0, {"facts": 35, "events": 70})
    again, _ = create_import(settings, "orders", "\n".join([*lines, ""]).encode())
    done = crashed_after(settings, connection, again, 2)
    assert (done.loaded, done.duplicate, gained(connection)) == (0, 140, 70)
