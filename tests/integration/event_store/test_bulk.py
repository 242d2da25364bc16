"""Bulk appends: many streams, all or nothing, idempotent, under the rules of a single append."""

import threading
import uuid
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from penstock import errors
from penstock.event_store import NewEvent, append, read_events, read_stream
from penstock.event_store import bulk as bulk_module
from penstock.event_store.bulk import BulkAppended, StreamAppend, append_bulk
from penstock.event_store.events import ExpectedVersion
from penstock.postgres import pool, sqlstates
from penstock.postgres.pool import Connection


def event(event_type: str = "Moved", **payload: Any) -> NewEvent:
    return NewEvent(event_type, payload)


def item(aggregate_id: str, *events: NewEvent, expected: ExpectedVersion = "any") -> StreamAppend:
    return StreamAppend("thing", aggregate_id, expected, events)


def versions(connection: Connection, aggregate_id: str) -> list[int]:
    return [e.version for e in read_stream(connection, "thing", aggregate_id)]


def head(connection: Connection, aggregate_id: str) -> int | None:
    row = connection.execute(
        "select version from penstock.streams where aggregate_type = 'thing' and aggregate_id = %s", (aggregate_id,)
    ).fetchone()
    return row[0] if row else None


@pytest.fixture(params=["fast", "staged"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each test runs through COPY into the store and again through the staging table."""
    if request.param == "staged":
        monkeypatch.setattr(bulk_module, "_copy_into_store", _refuse)
    return str(request.param)


def _refuse(connection: Connection, rows: Sequence[object]) -> BulkAppended:
    raise bulk_module._FastFormRefused


@pytest.mark.usefixtures("form")
class TestBothForms:
    def test_events_land_in_the_order_of_the_call_with_versions_without_gaps(self, connection: Connection) -> None:
        append(connection, "thing", "b", "no_stream", [event(n=0)])
        sent = [item("a", event(n=1), event(n=2)), item("b", event(n=3)), item("a", event(n=4), expected=2)]
        answer = append_bulk(connection, sent)
        stored = read_events(connection, after=1)
        assert [e.payload["n"] for e in stored] == [1, 2, 3, 4]
        assert [(e.aggregate_id, e.version) for e in stored] == [("a", 1), ("a", 2), ("b", 2), ("a", 3)]
        assert answer == BulkAppended(4, 0, stored[-1].position)
        assert (head(connection, "a"), head(connection, "b")) == (3, 2)

    def test_a_repeat_appends_nothing_and_says_so(self, connection: Connection) -> None:
        sent = [item("a", event(), event(), expected="no_stream"), item("b", event())]
        first = append_bulk(connection, sent)
        append(connection, "thing", "a", "any", [event()])
        again = append_bulk(connection, sent)
        assert again == BulkAppended(0, 3, first.last_position)
        assert versions(connection, "a") == [1, 2, 3]
        assert head(connection, "a") == 3

    def test_a_call_cut_otherwise_appends_only_what_is_new(self, connection: Connection) -> None:
        one, two, three = event(n=1), event(n=2), event(n=3)
        append_bulk(connection, [item("a", one, two, expected="no_stream")])
        answer = append_bulk(connection, [item("a", two, three, expected=1), item("new", event())])
        assert (answer.appended, answer.duplicates) == (2, 1)
        assert [e.payload["n"] for e in read_stream(connection, "thing", "a")] == [1, 2, 3]

    @pytest.mark.parametrize(
        ("expected", "actual", "at"),
        [("no_stream", 2, "a"), (1, 2, "a"), (3, 2, "a"), ("stream_exists", 0, "unknown"), (1, 0, "unknown")],
    )
    def test_one_wrong_version_refuses_all(
        self, connection: Connection, expected: ExpectedVersion, actual: int, at: str
    ) -> None:
        append(connection, "thing", "a", "no_stream", [event(), event()])
        with pytest.raises(errors.VersionConflict) as caught:
            append_bulk(connection, [item("fresh", event()), item(at, event(), event(), expected=expected)])
        assert caught.value.details["expected"] == expected
        assert caught.value.details["actual"] == actual
        assert head(connection, "fresh") is None
        assert versions(connection, "a") == [1, 2]
        assert connection.execute("select count(*) from staging.events").fetchone() == (0,)

    @pytest.mark.parametrize(("expected", "place"), [(2, "a"), ("stream_exists", "a"), ("no_stream", "b")])
    def test_right_expectations_pass(self, connection: Connection, expected: ExpectedVersion, place: str) -> None:
        append(connection, "thing", "a", "no_stream", [event(), event()])
        answer = append_bulk(connection, [item(place, event(), event(), expected=expected)])
        assert answer.appended == 2

    def test_an_id_with_another_content_refuses_all(self, connection: Connection) -> None:
        taken = event(n=1)
        append_bulk(connection, [item("a", taken)])
        other = NewEvent("Moved", {"n": 2}, id=taken.id)
        with pytest.raises(errors.EventIdReused, match=str(taken.id)):
            append_bulk(connection, [item("fresh", event()), item("a", other)])
        assert head(connection, "fresh") is None

    def test_an_id_twice_in_one_call_is_refused(self, connection: Connection) -> None:
        same = event()
        with pytest.raises(errors.InvalidInput, match="twice"):
            append_bulk(connection, [item("a", same), item("b", same)])
        assert head(connection, "a") is None

    def test_no_events_are_no_error(self, connection: Connection) -> None:
        assert append_bulk(connection, []) == BulkAppended(0, 0, 0)
        assert append_bulk(connection, [item("a")]) == BulkAppended(0, 0, 0)

    def test_metadata_is_completed_and_what_was_given_is_kept(self, connection: Connection) -> None:
        given = NewEvent("Moved", {}, {"actor": "import 7", "line": 3})
        append_bulk(connection, [item("a", given)])
        metadata = read_stream(connection, "thing", "a")[0].metadata
        assert metadata.keys() == {"correlation_id", "causation_id", "actor", "source", "occurred_at", "line"}
        assert (metadata["actor"], metadata["line"]) == ("import 7", 3)
        assert metadata["correlation_id"] == str(given.id)

    def test_many_chunks_are_one_transaction(self, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(bulk_module, "BATCH", 3)
        sent = [item(str(number % 4), event(n=number)) for number in range(20)]
        bad = [*sent, item("0", event(), expected=1)]
        with pytest.raises(errors.VersionConflict):
            append_bulk(connection, bad)
        assert connection.execute("select count(*) from public.event_store").fetchone() == (0,)
        assert append_bulk(connection, sent).appended == 20
        assert [e.payload["n"] for e in read_events(connection)] == list(range(20))
        assert versions(connection, "3") == [1, 2, 3, 4, 5]

    @pytest.mark.parametrize(
        "bad",
        [
            item("", event()),
            item("a", NewEvent("", {})),
            item("a", NewEvent("Moved", {"a": "\x00"})),
            item("a", NewEvent("Moved", {"a": "\ud800"})),
            item("\x00", event()),
            item("a", NewEvent("Moved", {}, schema_version=0)),
            item("a", NewEvent("Moved", {}, schema_version=2**40)),
            item("a", NewEvent("Moved", [])),  # type: ignore[arg-type]
            item("x" * 201, event()),
        ],
    )
    def test_bad_input_is_refused_in_the_projects_words(self, connection: Connection, bad: StreamAppend) -> None:
        with pytest.raises(errors.InvalidInput):
            append_bulk(connection, [item("good", event()), bad])
        assert head(connection, "good") is None

    def test_racing_repeats_store_each_event_once(self, database_url: str, connection: Connection) -> None:
        sent = [item(str(number % 40), event(n=number)) for number in range(400)]
        answers: list[BulkAppended] = []

        def send() -> None:
            with pool.connect(database_url) as own:
                answers.append(append_bulk(own, sent))

        threads = [threading.Thread(target=send) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted((a.appended, a.duplicates) for a in answers) == [(0, 400)] * 5 + [(400, 0)]
        assert len({a.last_position for a in answers}) == 1
        assert [e.payload["n"] for e in read_events(connection)] == list(range(400))


def test_the_service_role_may_append_in_bulk_through_staging_only(connection: Connection) -> None:
    connection.execute("set role service_role")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from penstock.reserve_versions('{thing}', '{a}', '{1}', true)")
    assert append_bulk(connection, [item("a", event())]).appended == 1


def test_rows_of_another_batch_stay(connection: Connection) -> None:
    mine, other = uuid.uuid4(), uuid.uuid4()
    for batch in (mine, other):
        connection.execute(
            "insert into staging.events (batch, place, aggregate_type, aggregate_id, id, event_type, payload)"
            " values (%s, 1, 'thing', 'a', %s, 'Moved', '{}')",
            (batch, uuid.uuid4()),
        )
    answer = connection.execute("select appended, duplicates from public.append_staged_events(%s)", (mine,)).fetchone()
    assert answer == (1, 0)
    assert connection.execute("select batch from staging.events").fetchall() == [(other,)]


def test_sixty_thousand_events_keep_their_order(connection: Connection) -> None:
    sent = [item(str(number % 997), event(n=number)) for number in range(60_000)]
    append_bulk(connection, sent)
    row = connection.execute(
        "select count(*), bool_and(n = place - 1), bool_and(version = expected) from ("
        " select (payload ->> 'n')::int as n, version, row_number() over (order by position) as place,"
        " row_number() over (partition by aggregate_id order by position) as expected from public.event_store) as e"
    ).fetchone()
    assert row == (60_000, True, True)


def test_a_batch_that_a_crash_emptied_is_not_taken_for_done(connection: Connection) -> None:
    """What a crash leaves of an unlogged table: nothing. A batch that is done leaves nothing either."""
    batch = uuid.uuid4()
    stage = (
        "insert into staging.events (batch, place, aggregate_type, aggregate_id, id, event_type, payload)"
        " values (%s, 1, 'thing', 'a', gen_random_uuid(), 'Moved', '{}')"
    )
    connection.execute(stage, (batch,))
    connection.execute("truncate staging.events")
    with pytest.raises(errors.NotFound, match="has no rows"), sqlstates.translate_errors():
        connection.execute("select public.append_staged_events(%s)", (batch,))
    connection.execute(stage, (batch,))
    connection.execute("select public.append_staged_events(%s)", (batch,))
    with pytest.raises(psycopg.Error, match="appended before"):
        connection.execute("select public.append_staged_events(%s)", (batch,))
    assert versions(connection, "a") == [1]
