"""Snapshots are a cache: they make long streams quick to load, and no answer depends on them."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock import errors
from penstock.event_store import Loaded, NewEvent, RecordedEvent, Reducer, append, load_aggregate, read_stream
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests import throwaway
from tests.integration.event_store.racing import together

State = Mapping[str, Any]


def count(state: State, event: RecordedEvent) -> State:
    kinds = {**state["kinds"], event.event_type: event.version}
    return {"events": state["events"] + 1, "sum": state["sum"] + event.payload["n"], "kinds": kinds}


COUNTER: Reducer[State] = Reducer(
    "counter", 1, {"events": 0, "sum": 0, "kinds": {}}, count, dump=lambda state: state, restore=lambda value: value
)


def fill(connection: Connection, events: int, aggregate_id: str = "a") -> list[int]:
    numbers = [n * 7 % 11 for n in range(events)]
    append(connection, "thing", aggregate_id, "any", [NewEvent(f"Kind{n % 3}", {"n": n}) for n in numbers])
    return numbers


def load(connection: Connection, reducer: Reducer[State] = COUNTER, **when: Any) -> Loaded[State]:
    return load_aggregate(connection, reducer, "thing", "a", **when)


def snapshots(connection: Connection) -> list[tuple[int, ...]]:
    query = "select version, reducer_version, generation from penstock.snapshots order by 2, 3, 1"
    return connection.execute(query).fetchall()


def without_snapshots(connection: Connection, **when: Any) -> Loaded[State]:
    with connection.transaction(force_rollback=True):
        connection.execute("delete from penstock.snapshots")
        return load(connection, **when)


def test_an_unknown_stream_is_the_initial_state(connection: Connection) -> None:
    assert load(connection) == Loaded(COUNTER.initial, 0, 0, None)


def test_a_load_remembers_the_last_hundredth_version(connection: Connection) -> None:
    fill(connection, 99)
    load(connection)
    assert snapshots(connection) == []
    fill(connection, 260)
    load(connection)
    assert snapshots(connection) == [(300, 1, 0)]


def test_a_load_begins_at_the_snapshot(connection: Connection) -> None:
    numbers = fill(connection, 2345)
    first = load(connection)
    assert first.state["sum"] == sum(numbers)
    folded: list[int] = []

    def watch(state: State, event: RecordedEvent) -> State:
        folded.append(event.version)
        return count(state, event)

    assert load(connection, replace(COUNTER, evolve=watch)) == first
    assert folded == list(range(2301, 2346))


def test_deleting_all_snapshots_changes_no_answer(connection: Connection) -> None:
    fill(connection, 730)
    events = read_stream(connection, "thing", "a")
    times = [
        events[n].created_at + timedelta(microseconds=offset) for n in (0, 99, 100, 345, 729) for offset in (-1, 0, 1)
    ]
    moments: list[dict[str, Any]] = [
        *({"at_version": version} for version in (0, 1, 99, 100, 101, 250, 700, 730, 900)),
        *({"at": at} for at in times),
        {"at": times[5], "at_version": 100},
        {},
    ]
    for moment in moments + moments:
        with_snapshots = load(connection, **moment)
        assert with_snapshots == without_snapshots(connection, **moment)
    assert len(snapshots(connection)) > 3


def test_time_travel_gives_the_state_of_that_version_and_time(connection: Connection) -> None:
    numbers = fill(connection, 150)
    middle = load(connection)
    assert middle.stored_at is not None
    more = fill(connection, 250)
    assert load(connection).state["sum"] == sum(numbers) + sum(more)
    assert load(connection, at_version=120).state["sum"] == sum(numbers[:120])
    assert load(connection, at=middle.stored_at) == middle
    assert load(connection, at=middle.stored_at - timedelta(days=1)).version == 0


def test_a_clock_that_went_back_changes_no_answer(connection: Connection) -> None:
    """Events after the jump look older, yet follow: the state at a time ends before the first later event."""
    fill(connection, 250)
    rewrite = "update public.event_store set created_at = created_at - interval '1 hour' where version > 120"
    connection.execute("alter table public.event_store disable trigger event_store_refuse_change")
    connection.execute(rewrite)
    at: datetime = read_stream(connection, "thing", "a")[60].created_at
    for moment in (at, at - timedelta(minutes=30), at + timedelta(days=1)):
        assert load(connection, at=moment) == without_snapshots(connection, at=moment)
        assert load(connection, at=moment) == without_snapshots(connection, at=moment)


def test_a_snapshot_of_an_older_reducer_is_not_used_and_is_replaced(connection: Connection) -> None:
    fill(connection, 210)
    load(connection)
    connection.execute('update penstock.snapshots set state = \'{"events": 0, "sum": -1000, "kinds": {}}\'')
    assert load(connection).state["sum"] < -900
    newer = replace(COUNTER, version=2)
    assert load(connection, newer) == without_snapshots(connection)
    assert snapshots(connection) == [(200, 2, 0)]
    assert load(connection) == load(connection, newer)


def test_reducers_of_other_names_share_nothing(connection: Connection) -> None:
    fill(connection, 100)
    double = replace(COUNTER, name="double", evolve=lambda state, event: count(count(state, event), event))
    load(connection)
    assert load(connection, double).state["events"] == 200
    assert load(connection, double).state["events"] == 200


def test_a_new_upcaster_puts_snapshots_aside(connection: Connection) -> None:
    numbers = fill(connection, 120)
    load(connection)
    connection.execute(
        "create function public.tenfold(p jsonb) returns jsonb language sql immutable set search_path = '' as"
        " $$ select jsonb_build_object('n', 10 * (p ->> 'n')::int) $$"
    )
    for kind in ("Kind0", "Kind1", "Kind2"):
        connection.execute("select penstock.register_upcaster(%s, 1, 'public.tenfold(jsonb)')", (kind,))
    assert load(connection).state["sum"] == 10 * sum(numbers)
    assert snapshots(connection) == [(100, 1, 3)]


def test_a_read_only_transaction_loads_and_remembers_nothing(connection: Connection) -> None:
    numbers = fill(connection, 250)
    with connection.transaction():
        connection.execute("set transaction read only")
        assert load(connection).state["sum"] == sum(numbers)
    assert snapshots(connection) == []


def test_a_rolled_back_append_leaves_no_snapshot(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        fill(connection, 250)
        assert load(connection).version == 250
    assert load(connection).version == 0


def test_loads_that_race_neither_wait_nor_fail(database_url: str, connection: Connection) -> None:
    fill(connection, 300)
    with pool.connect(database_url) as slow, slow.transaction():
        load(slow)

        def quick() -> int:
            with pool.connect(database_url) as own:
                own.execute("set statement_timeout = '2s'")
                return load(own).version

        assert together([quick] * 4) == [300] * 4
    assert snapshots(connection) == [(300, 1, 0)]


def test_the_service_role_loads_and_remembers(connection: Connection) -> None:
    fill(connection, 100)
    connection.execute("set role service_role")
    assert load(connection).version == 100
    connection.execute("set role analyst")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        load(connection)
    connection.execute("reset role")
    assert snapshots(connection) == [(100, 1, 0)]


@pytest.mark.parametrize("when", [{"at_version": -1}, {"at": datetime(2026, 1, 1)}])  # noqa: DTZ001
def test_a_moment_that_is_none_is_refused(connection: Connection, when: dict[str, Any]) -> None:
    with pytest.raises(errors.InvalidInput):
        load(connection, **when)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def test_any_state_comes_back_as_it_was() -> None:
    with throwaway.cloned_database() as url, pool.connect(url) as connection:
        fill(connection, 100)

        @given(JSON)
        @settings(max_examples=100, deadline=None)
        def check(value: Any) -> None:
            holder = replace(COUNTER, evolve=lambda state, event: {"value": value})
            connection.execute("delete from penstock.snapshots")
            first, again = load(connection, holder), load(connection, holder)
            assert again == first
            assert repr(again.state) == repr(first.state)

        check()
