"""Events as they are: what the system knows of one it says itself, and an id belongs to one event."""

import json
import re
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, rejects_csv, run
from penstock.settings import Settings

ID = "0190a1b2-0000-7000-8000-00000000000"
EVENT: dict[str, Any] = {
    "id": f"{ID}1",
    "aggregate_type": "order",
    "aggregate_id": "1",
    "event_type": "OrderPaid",
    "payload": {"n": 1},
    "occurred_at": "2026-01-01T00:00:00Z",
}


def load(settings: Settings, *lines: dict[str, Any], **arguments: Any) -> Import:
    text = "\n".join(map(json.dumps, lines))
    created, _ = create_import(settings, "events", text.encode(), **arguments)
    done = advance_import(settings, created.id)
    assert (done.state, done.error) == ("completed_with_rejects" if done.rejected else "completed", None)
    return done


def account(done: Import) -> tuple[int, int, int]:
    return done.loaded, done.rejected, done.duplicate


def metadata(connection: psycopg.Connection) -> list[dict[str, Any]]:
    return [row[0] for row in connection.execute("select metadata from public.event_store order by position")]


def test_a_line_cannot_say_who_wrote_it(settings: Settings, connection: psycopg.Connection) -> None:
    forged = {"actor": "ceo", "source": "api", "correlation_id": "c", "causation_id": "x", "claimed": 1, "tenant": "t"}
    done = load(settings, {**EVENT, "metadata": forged, "occurred_at": "2026-01-01T00:00:00Z"}, actor="key of Ann")
    assert metadata(connection) == [
        {
            "actor": "key of Ann",
            "source": "import",
            "correlation_id": str(done.id),
            "causation_id": f"import:{done.id}#line 1",
            "occurred_at": "2026-01-01T00:00:00Z",
            "tenant": "t",
            "claimed": {name: value for name, value in forged.items() if name != "tenant"},
        }
    ]


def test_the_time_in_the_metadata_of_an_exported_event_counts(
    settings: Settings, connection: psycopg.Connection
) -> None:
    exported = {**EVENT, "metadata": {"occurred_at": "2020-02-29T01:00:00+01:00"}}
    wrong = [
        {**EVENT, "id": f"{ID}{place}", "metadata": {"occurred_at": moment}}
        for place, moment in enumerate(("soon", "2020-02-30T00:00:00Z", 7, "2020-01-01T00:00:00"), start=2)
    ]
    done = load(settings, exported, *wrong, {**EVENT, "id": f"{ID}9", "metadata": {"occurred_at": None}})
    assert account(done) == (2, 4, 0)
    assert metadata(connection)[0]["occurred_at"] == "2020-02-29T00:00:00Z"
    assert "must be a time with a zone" in "".join(rejects_csv(settings, done.id))


@pytest.mark.parametrize("change", [{"aggregate_id": "2"}, {"aggregate_type": "basket"}, {"event_type": "OrderSent"}])
@pytest.mark.parametrize("facts_a_step", [1, 10_000])
def test_an_id_twice_is_a_duplicate_only_in_one_stream_and_type(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], facts_a_step: int
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", facts_a_step)
    other = {**EVENT, "id": f"{ID}2"}
    done = load(settings, EVENT, other, EVENT, {**EVENT, **change}, {**other, "payload": {"n": 2}})
    assert account(done) == (2, 2, 1)
    rejects = "".join(rejects_csv(settings, done.id)).splitlines()[1:]
    assert [line.split(",")[0] for line in rejects] == ['"4"', '"5"']
    assert f"its id {ID}1 belongs to another event" in rejects[0]
    assert json.dumps({**EVENT, **change}).replace('"', '""') in rejects[0]
    again = load(settings, {**EVENT, **change}, EVENT)
    assert account(again) == (0, 1, 1), "in another file as well"


def crashed_while_appending(settings: Settings, connection: psycopg.Connection, created: Import) -> None:
    """Append a part of the facts, then empty the unlogged tables, as a crash of the server does."""
    while not (now := advance_import(settings, created.id, seconds=0)).loaded:
        assert not now.is_final
    assert (now.state, now.pending > 0) == ("appending", True)
    connection.execute(f"truncate staging.import_{created.id.hex}, staging.import_{created.id.hex}_events")


@pytest.mark.parametrize("facts_a_step", [1, 2, 3])
def test_after_a_crash_of_the_server_events_with_ids_are_counted_as_loaded_once(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, facts_a_step: int
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", facts_a_step)
    lines = [{**EVENT, "id": f"{ID}{number % 3}", "payload": {"n": number % 3}} for number in range(6)]
    load(settings, lines[2])
    text = "\n".join(map(json.dumps, [*lines, {**EVENT, "id": f"{ID}7"}]))
    created, _ = create_import(settings, "events", text.encode())
    crashed_while_appending(settings, connection, created)
    done = advance_import(settings, created.id)
    assert (done.state, *account(done)) == ("completed", 3, 0, 4)
    stored = connection.execute("select count(*), count(distinct id) from public.event_store").fetchone()
    assert stored == (4, 4)


@pytest.mark.parametrize(
    ("target", "header", "line"),
    [
        ("tickets", "ticket_id,part,quantity,opened_at,price", "{},P,1,2026-01-01,1.50"),
        ("events", "aggregate_type,aggregate_id,event_type,payload,occurred_at", "thing,{},Made,{{}},2026-01-01"),
    ],
)
def test_after_a_crash_of_the_server_what_was_appended_counts_as_loaded(
    settings: Settings,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    header: str,
    line: str,
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 2)
    known, _ = create_import(settings, target, f"{header}\n{line.format('known')}\n".encode())
    advance_import(settings, known.id)
    before = connection.execute("select count(*) from public.event_store").fetchone() or (0,)
    text = "\n".join([header, *(line.format(name) for name in ("known", "a", "b", "c", "d"))])
    created, _ = create_import(settings, target, text.encode())
    crashed_while_appending(settings, connection, created)
    done = advance_import(settings, created.id)
    repeated = 0 if target == "events" else 1  # without an id of its own an event is one of its file
    assert (done.state, *account(done)) == ("completed", 5 - repeated, 0, repeated)
    stored = connection.execute("select count(*), count(distinct aggregate_id) from public.event_store").fetchone()
    assert stored == (before[0] * (6 - repeated), 5)


def test_events_without_an_id_are_known_by_the_events_of_their_file(
    settings: Settings, connection: psycopg.Connection
) -> None:
    """Two equal ones are two; blank lines, order and the file's other events, which have ids, do not matter."""
    bare = {name: value for name, value in EVENT.items() if name != "id"}
    lines = [bare, bare, bare | {"payload": {"n": 2, "m": 1}}, bare | {"metadata": {"a": 1}}]
    texts = [json.dumps(line) for line in lines]
    assert account(load(settings, *lines)) == (4, 0, 0)
    spaced = texts[2].replace('"n": 2, "m": 1', '"m" : 1,  "n": 2')
    again = "\n\n".join([texts[3], spaced, texts[0], json.dumps(EVENT), texts[1]]) + "\n\n"
    created, _ = create_import(settings, "events", again.encode())
    assert account(advance_import(settings, created.id)) == (1, 0, 4)
    assert account(load(settings, bare)) == (1, 0, 0), "another file"
    assert account(load(settings, *lines, bare)) == (5, 0, 0), "and so is a longer one"
    assert connection.execute("select count(*) from public.event_store").fetchone() == (11,)


@pytest.mark.parametrize("time", [{}, {"occurred_at": None}, {"metadata": {}}, {"metadata": {"occurred_at": None}}])
def test_an_event_without_a_time_is_refused(
    settings: Settings, connection: psycopg.Connection, time: dict[str, Any]
) -> None:
    untimed = {name: value for name, value in EVENT.items() if name != "occurred_at"} | time
    done = load(settings, untimed, EVENT)
    assert account(done) == (1, 1, 0)
    assert re.search("occurred_at.*missing|has no time", "".join(rejects_csv(settings, done.id)))


def test_an_event_of_a_table_has_its_time_in_a_column_or_in_its_metadata(
    settings: Settings, connection: psycopg.Connection
) -> None:
    lines = [
        "aggregate_type,aggregate_id,event_type,payload,occurred_at,metadata",
        't,1,E,{},2026-01-01,',
        't,2,E,{},,"{""occurred_at"": ""2026-01-02T00:00:00Z""}"',
        't,3,E,{},,"{}"',
        "t,4,E,{},,",
    ]  # fmt: skip
    created, _ = create_import(settings, "events", "\n".join(lines).encode())
    assert account(advance_import(settings, created.id)) == (2, 2, 0)
    assert [each["occurred_at"][:10] for each in metadata(connection)] == ["2026-01-01", "2026-01-02"]
    bare = "aggregate_type,aggregate_id,event_type,payload\nt,1,E,{}\n"
    created, _ = create_import(settings, "events", bare.encode())
    failed = advance_import(settings, created.id)
    assert (failed.state, "no column is recognised as occurred_at" in str(failed.error)) == ("failed", True)
