"""Take an import of events back by events that undo them, batch by batch.

The first transaction notes the streams to which the import brought events and refuses what nothing takes back; then
the import is `undoing`. Each later one locks the import and the next streams, appends, and moves `progress.undone`: it
may be killed anywhere and called twice at once, and no stream is taken back twice. What was taken back, and what did
it, is in `penstock.undone_events`; a stream without those events reads as if the import had never been.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from penstock.errors import Conflict
from penstock.event_store import NewEvent, RecordedEvent, append_bulk
from penstock.event_store.bulk import StreamAppend
from penstock.event_store.streams import EVENT_COLUMNS
from penstock.ingest.files import ledger
from penstock.ingest.files.compensation import Compensation, TakenBack, find_compensation
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.staging import Staging
from penstock.postgres.pool import Connection

STREAMS_A_STEP: Final = 500

_NOTE_STREAMS = """
insert into raw.import_undo (import_id, n, aggregate_type, aggregate_id, event_types)
select %(import)s, row_number() over (order by s.first_position), s.aggregate_type, s.aggregate_id, s.event_types
from penstock.imported_streams(%(import)s) as s
"""
_TYPES = """
select s.aggregate_type, s.event_types from raw.import_undo as s where s.import_id = %s group by 1, 2 order by 1, 2
"""
_NEXT = """
select s.n, s.aggregate_type, s.aggregate_id from raw.import_undo as s
where s.import_id = %s and s.n > %s order by s.n limit %s
"""
_LOCK = "select l.aggregate_type, l.aggregate_id, l.version from penstock.lock_streams(%s::text[], %s::text[]) as l"
# of sums the import's events alone: a stream of them may be long
_READ = f"""
select {EVENT_COLUMNS}
from unnest(%(types)s::text[], %(ids)s::text[], %(sums)s::boolean[]) as s (stream_type, stream_id, sums)
cross join lateral (
  select e.* from public.current_events as e
  where e.aggregate_id = s.stream_id and e.aggregate_type = s.stream_type
    and (not s.sums or e.metadata ->> 'correlation_id' = %(import)s)
  offset 0
) as e
where not exists (select from penstock.undone_events as u where u.id = e.id)
order by e.aggregate_type, e.aggregate_id, e.version
"""  # noqa: S608


def begin_undo(connection: Connection, imported: Import) -> None:
    """Note what is to be taken back; raises `Conflict` before anything is written if nothing takes a type back."""
    connection.execute("set local statement_timeout = 0")
    staging = Staging(imported.id, imported.read_plan)
    if staging.held:
        staging.held.check_unclaimed(connection)
    connection.execute(_NOTE_STREAMS, {"import": imported.id})
    for aggregate_type, event_types in connection.execute(_TYPES, (imported.id,)).fetchall():
        found = find_compensation(aggregate_type)
        lasting = found.first_lasting(event_types) if found else sorted(event_types)[0]
        if lasting:
            raise Conflict(
                f"nothing takes {lasting} of {aggregate_type} back: events stay, append what corrects them",
                event_type=lasting,
                aggregate_type=aggregate_type,
            )
    staging.drop(connection)
    kept = staging.held.take_back(connection) if staging.held else 0
    undo = {"removed": 0, "restored": 0, "kept": kept, "events": 0}
    ledger.update_import(
        connection,
        imported.id,
        state="undoing",
        progress={**imported.progress, "undone": 0},
        result={**imported.result, "undo": undo},
    )


def undo_step(connection: Connection, imported: Import) -> None:
    """Take the next streams back, in the transaction that holds the import; the last step ends the import."""
    connection.execute("set local statement_timeout = 0")
    done = imported.progress["undone"]
    streams = connection.execute(_NEXT, (imported.id, done, STREAMS_A_STEP)).fetchall()
    if not streams:
        connection.execute("delete from raw.import_undo where import_id = %s", (imported.id,))
        ledger.finish_import(connection, imported.id, "undone")
        return
    undo = dict(imported.result["undo"])
    appends, undone = _decide(
        connection, imported, [(aggregate_type, name) for _, aggregate_type, name in streams], undo
    )
    append_bulk(connection, appends)
    ids = [event.id for append in appends for event in append.events]
    connection.execute(
        "insert into penstock.undone_events (id) select unnest(%s::uuid[]) on conflict do nothing",
        ([*undone, *ids],),
    )
    lines = Staging(imported.id, imported.read_plan).held
    if lines and appends:
        lines.hold_again(connection, [append.aggregate_id for append in appends])
    undo["events"] += len(ids)
    ledger.update_import(
        connection,
        imported.id,
        progress={**imported.progress, "undone": streams[-1][0]},
        result={**imported.result, "undo": undo},
    )


def _decide(
    connection: Connection, imported: Import, streams: list[tuple[str, str]], undo: dict[str, int]
) -> tuple[list[StreamAppend], list[UUID]]:
    """What to append, and the ids of the events which that takes back; counts streams, or events of sums, in `undo`."""
    appends: list[StreamAppend] = []
    undone: list[UUID] = []
    types, ids = zip(*streams, strict=True)
    versions = {
        (aggregate_type, name): version
        for aggregate_type, name, version in connection.execute(_LOCK, (list(types), list(ids)))
    }
    for (aggregate_type, name), events in _live_events(connection, imported, streams):
        compensation = find_compensation(aggregate_type)
        assert compensation, "asked before the first step"
        own = [event for event in events if _is_own(event, imported)]
        size = len(own) if compensation.sums else 1
        taken = _take_back(compensation, events, own)
        if taken is None:
            undo["kept"] += size
            continue
        undo["restored" if taken.restored else "removed"] += size
        undone += [event.id for event in own]
        if taken.events:
            new = list(_new_events(imported, taken, own[0].metadata["occurred_at"]))
            appends.append(StreamAppend(aggregate_type, name, versions[aggregate_type, name], new))
    return appends, undone


def _live_events(
    connection: Connection, imported: Import, streams: list[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], list[RecordedEvent]]]:
    """The events of each stream without those that were taken back."""
    sums = [(found := find_compensation(aggregate_type)) is not None and found.sums for aggregate_type, _ in streams]
    values = {
        "types": [aggregate_type for aggregate_type, _ in streams],
        "ids": [name for _, name in streams],
        "sums": sums,
        "import": str(imported.id),
    }
    with connection.cursor(binary=True, row_factory=class_row(RecordedEvent)) as cursor:
        events: Iterable[RecordedEvent] = cursor.execute(_READ, values).fetchall()
    for stream, of_stream in groupby(events, attrgetter("aggregate_type", "aggregate_id")):
        yield stream, list(of_stream)


def _is_own(event: RecordedEvent, imported: Import) -> bool:
    return str(event.metadata.get("causation_id", "")).startswith(f"import:{imported.id}#line ")


def _take_back(
    compensation: Compensation, events: Sequence[RecordedEvent], own: Sequence[RecordedEvent]
) -> TakenBack | None:
    before = [event for event in events if event.version < own[0].version]
    others = len(events) - len(before) - len(own)
    return None if others and not compensation.sums else compensation.take_back(before, own)


def _new_events(imported: Import, taken: TakenBack, moment: object) -> Iterator[NewEvent]:
    known = {
        "correlation_id": str(imported.id),
        "causation_id": f"import:{imported.id}#undo",
        "actor": imported.actor,
        "source": "import",
    }
    for event in taken.events:
        yield replace(event, metadata={"occurred_at": moment} | event.metadata | known)
