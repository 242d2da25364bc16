"""Pages of events for an answer over HTTP: bounded by bytes, and never taken apart.

An event's payload and metadata are passed on as the text that Postgres makes of them. So a page costs no more memory
than its bytes, and no event in the store, however deep or long its numbers, can make a page fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Cursor
from psycopg.rows import RowMaker

from penstock import json_codec
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection


@dataclass(frozen=True, slots=True)
class EventPage:
    """`events` is a JSON array; `position` and `version` are those of its last event, None if there is none."""

    events: bytes
    position: int | None
    version: int | None
    more: bool


@dataclass(frozen=True, slots=True)
class _Event:
    position: int
    version: int
    json: bytes


def page_of_stream(
    connection: Connection, aggregate_type: str, aggregate_id: str, *, after_version: int, max_count: int
) -> EventPage:
    """Events of one stream in order, those after `after_version`."""
    return _page(connection, _STREAM, (aggregate_type, aggregate_id, after_version, max_count + 1), max_count)


def page_of_store(
    connection: Connection, *, after: int, max_count: int, event_types: Sequence[str] | None = None
) -> EventPage:
    """Events of the whole store in order of position; skips none that is still being committed."""
    wanted = list(event_types) if event_types is not None else None
    return _page(connection, _STORE, (after, max_count + 1, wanted), max_count)


def _page(connection: Connection, query: str, values: Sequence[object], max_count: int) -> EventPage:
    with connection.cursor(binary=True, row_factory=_rendered) as cursor:
        events, more = take(cursor, query, values, max_count, lambda event: len(event.json))
    array = b"[" + b",".join(event.json for event in events) + b"]"
    if not events:
        return EventPage(array, None, None, more)
    return EventPage(array, events[-1].position, events[-1].version, more)


def _rendered(_: Cursor[Any]) -> RowMaker[_Event]:
    return _render


def _render(row: Sequence[Any]) -> _Event:
    position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version, at = row
    before = json_codec.dumps(
        {
            "position": position,
            "id": id,
            "aggregate_type": aggregate_type,
            "aggregate_id": aggregate_id,
            "event_type": event_type,
        }
    )
    after = json_codec.dumps({"version": version, "schema_version": schema_version, "created_at": at})
    text = f'{before[:-1]},"payload":{payload},"metadata":{metadata},{after[1:]}'
    return _Event(position, version, text.encode())


_COLUMNS: Final = (
    "position, id, aggregate_type, aggregate_id, event_type, payload::text, metadata::text, version, schema_version,"
    " created_at"
)
_STREAM: Final = f"select {_COLUMNS} from public.read_stream(%s, %s, %s, %s)"  # noqa: S608
_STORE: Final = f"select {_COLUMNS} from public.read_events(%s, %s, %s)"  # noqa: S608
