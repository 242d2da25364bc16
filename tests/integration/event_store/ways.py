"""Each way in which the store's SQL appends, as one call that a test may leave open in a transaction."""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias
from uuid import uuid4

import psycopg

from tests.integration.event_store.staged_facts import append_imported_events, append_new_streams, stage_facts

Stream: TypeAlias = tuple[str, str]
Append: TypeAlias = Callable[[psycopg.Connection, Iterable[Stream]], None]

_STAGE = (
    "insert into staging.events (batch, place, aggregate_type, aggregate_id, id, event_type, payload)"
    " values (%s, %s, %s, %s, gen_random_uuid(), 'Made', '{}')"
)


def one(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    call = (
        "select public.append_event(%s, %s, -1, gen_random_uuid(), 'Made', '{}',"
        ' \'{"correlation_id": 1, "causation_id": 1, "actor": 1, "source": 1, "occurred_at": 1}\')'
    )
    for stream in streams:
        connection.execute(call, stream)


def several(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    call = "select public.append_events(%s, %s, -1, array[gen_random_uuid()], '{Made}', array['{}'::jsonb])"
    for stream in streams:
        connection.execute(call, stream)


def staged(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    batch = uuid4()
    for place, stream in enumerate(streams):
        connection.execute(_STAGE, (batch, place, *stream))
    connection.execute("select public.append_staged_events(%s)", (batch,))


def _opened(connection: psycopg.Connection, streams: Iterable[Stream], fresh: bool) -> None:
    types, ids = zip(*streams, strict=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "select * from penstock.reserve_versions(%s, %s, %s, %s)", (list(types), list(ids), [1] * len(ids), fresh)
        )
        versions, positions, _ = cursor.fetchone() or ([], [], None)
        cursor.executemany(
            "insert into public.event_store values (%s, gen_random_uuid(), %s, %s, 'Made', '{}', '{}', %s)",
            list(zip(positions, types, ids, versions, strict=True)),
        )


def opened(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    _opened(connection, streams, False)


def opened_fresh(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    _opened(connection, streams, True)


def imported_births(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    append_new_streams(connection, stage_facts(connection, streams))


def imported(connection: psycopg.Connection, streams: Iterable[Stream]) -> None:
    append_imported_events(connection, stage_facts(connection, streams))


WAYS: Mapping[str, Append] = {
    way.__name__: way for way in (one, several, staged, opened, opened_fresh, imported_births, imported)
}
