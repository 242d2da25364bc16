"""Upcasters: old events read as new ones everywhere, and stay in the store as they were written."""

from typing import Any

import psycopg
import pytest

from penstock import errors
from penstock.event_store import NewEvent, append, read_events, read_stream
from penstock.postgres import sqlstates
from penstock.postgres.pool import Connection

UPCASTERS = """
create function public.split_name(payload jsonb) returns jsonb language sql immutable set search_path = '' as
$$ select payload - 'name' || jsonb_build_object('first', split_part(payload ->> 'name', ' ', 1)) $$;
create function public.add_greeting(payload jsonb) returns jsonb language sql immutable set search_path = '' as
$$ select payload || jsonb_build_object('greeting', 'Dear ' || (payload ->> 'first')) $$;
"""
OLD = {"name": "Ada Lovelace"}
MIDDLE = {"first": "Ada"}
NEW = {"first": "Ada", "greeting": "Dear Ada"}


@pytest.fixture
def store(connection: Connection) -> Connection:
    connection.execute(UPCASTERS)
    events = [
        NewEvent("Named", OLD, schema_version=1),
        NewEvent("Named", MIDDLE, schema_version=2),
        NewEvent("Named", NEW, schema_version=3),
        NewEvent("Other", OLD, schema_version=1),
    ]
    append(connection, "person", "1", "no_stream", events)
    return connection


def register(connection: Connection, version: int, function: str, event_type: str = "Named") -> None:
    with sqlstates.translate_errors():
        connection.execute("select penstock.register_upcaster(%s, %s, %s)", (event_type, version, function))


def register_both(connection: Connection) -> None:
    register(connection, 1, "public.split_name(jsonb)")
    register(connection, 2, "public.add_greeting(jsonb)")


def test_without_upcasters_events_read_as_stored(store: Connection) -> None:
    assert [e.payload for e in read_stream(store, "person", "1")] == [OLD, MIDDLE, NEW, OLD]


@pytest.mark.parametrize("newest_first", [False, True])
def test_a_chain_lifts_every_old_version_in_streams_and_in_the_whole_store(
    store: Connection, newest_first: bool
) -> None:
    steps = [(1, "public.split_name(jsonb)"), (2, "public.add_greeting(jsonb)")]
    for version, function in reversed(steps) if newest_first else steps:
        register(store, version, function)
    for events in (read_stream(store, "person", "1"), read_events(store)):
        assert [(e.payload, e.schema_version) for e in events] == [(NEW, 3), (NEW, 3), (NEW, 3), (OLD, 1)]
    view = store.execute("select payload, schema_version from public.current_events order by position").fetchall()
    assert view == [(NEW, 3), (NEW, 3), (NEW, 3), (OLD, 1)]


def test_the_stored_bytes_stay(store: Connection) -> None:
    query = "select position, payload::text, schema_version, xmin::text, ctid::text from public.event_store order by 1"
    before = store.execute(query).fetchall()
    register_both(store)
    read_events(store)
    assert store.execute(query).fetchall() == before


def test_a_retry_of_an_old_event_is_still_recognised(store: Connection) -> None:
    register_both(store)
    event = NewEvent("Named", OLD)
    assert not append(store, "person", "2", "no_stream", [event]).duplicate
    assert append(store, "person", "2", "no_stream", [event]).duplicate


def test_a_changed_upcaster_takes_the_place_of_the_old_one(store: Connection) -> None:
    register_both(store)
    store.execute(
        UPCASTERS.replace("split_name", "other_name").replace("add_greeting", "unused").replace("'first'", "'last'")
    )
    register(store, 1, "public.other_name(jsonb)")
    assert read_stream(store, "person", "1")[0].payload["last"] == "Ada"
    generations = store.execute("select generation from penstock.upcasters order by schema_version").fetchall()
    assert generations == [(3,), (2,)]


def test_reading_roles_may_call_what_is_registered(store: Connection) -> None:
    store.execute("revoke execute on all functions in schema public from public")
    register_both(store)
    for role in ("service_role", "analyst"):
        store.execute(f"set role {role}")
        assert read_events(store)[0].payload == NEW
        store.execute("reset role")


@pytest.mark.parametrize(
    ("version", "function"),
    [
        (4, "public.split_name(jsonb)"),
        (0, "public.split_name(jsonb)"),
        (None, "public.split_name(jsonb)"),
        (2, "public.add_greeting(jsonb)"),
        (1, "lower(text)"),
        (1, "jsonb_array_elements(jsonb)"),
        (1, "jsonb_typeof(jsonb)"),
    ],
)
def test_what_is_no_upcaster_or_leaves_a_gap_is_refused(store: Connection, version: Any, function: str) -> None:
    if version in (0, 2, 4):
        register(store, 1, "public.split_name(jsonb)") if version != 2 else None
    if version == 2:
        store.execute("select penstock.register_upcaster('Named', 5, 'public.split_name(jsonb)')")
    with pytest.raises(errors.InvalidInput):
        register(store, version, function)


def test_names_with_quotes_are_no_way_in(store: Connection) -> None:
    store.execute(
        'create schema "odd schema"; create function "odd schema"."f\'x"(p jsonb) returns jsonb '
        "language sql immutable as $$ select '{\"odd\": true}'::jsonb $$"
    )
    hostile = "x' then e.payload end; drop table penstock.streams; --"
    append(store, "person", "3", "any", [NewEvent(hostile, {})])
    register(store, 1, '"odd schema"."f\'x"(jsonb)', hostile)
    store.execute('grant usage on schema "odd schema" to service_role')
    assert read_stream(store, "person", "3")[0].payload == {"odd": True}


def test_only_the_owner_registers(store: Connection) -> None:
    for role in ("service_role", "analyst", "anon", "authenticated"):
        store.execute(f"set role {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            store.execute("select penstock.register_upcaster('Named', 1, 'public.split_name(jsonb)')")
        store.execute("reset role")


def test_the_bare_view_costs_no_more_than_the_table(connection: Connection) -> None:
    query = "explain (costs off) select * from {} as e where position > 5 order by position"
    plans = [
        connection.execute(query.format(name)).fetchall() for name in ("public.event_store", "public.current_events")
    ]
    assert str(plans[0]) == str(plans[1]).replace("Key: e.", "Key: ")
