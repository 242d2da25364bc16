"""Take an import back.

Of a table: rows that it added go, rows that it changed are as they were, in one transaction. Of events: what the domain
declares is appended (`undo_events.py`). What somebody has changed since is left alone and counted.
"""

import time
from collections.abc import Iterator
from uuid import UUID

import psycopg

from penstock.errors import Conflict
from penstock.ingest.files import ledger
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.held import lock
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.load.tables import TableWriter
from penstock.ingest.files.opened import open_contents
from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.undo_events import begin_undo, undo_step
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings


def undo_import(settings: Settings, import_id: UUID, *, seconds: float | None = None) -> Import:
    """Undo it; `result["undo"]` says how many rows or streams were removed, restored and kept.

    An import of events may take longer than `seconds`: then its state is `undoing`, and the next call goes on. The
    same after a crash, and calls at once share the work. Raises `Conflict` for an import that is still running or
    undone already, for events that nothing takes back, and when other rows refer to a row that would have to go.
    """
    with pool.connection(settings) as connection:
        if _is_of_table(ledger.read_import(connection, import_id)):
            return _undo_table(settings, import_id)
        with connection.transaction():
            imported = _locked(connection, import_id)
            if imported.state != "undoing":
                _check(imported)
                begin_undo(connection, imported)
    return continue_undo(settings, import_id, seconds=seconds)


def continue_undo(settings: Settings, import_id: UUID, *, seconds: float | None = None) -> Import:
    """Go on with an undo that has begun, as `undo_import` does; changes nothing of an import in another state."""
    deadline = None if seconds is None else time.monotonic() + seconds
    with pool.connection(settings) as connection:
        while True:
            with connection.transaction():
                imported = _locked(connection, import_id)
                if imported.state != "undoing" or (deadline is not None and time.monotonic() >= deadline):
                    return imported
                undo_step(connection, imported)


def _locked(connection: Connection, import_id: UUID) -> Import:
    """The import, locked; before it the held lines of its target, as everywhere."""
    seen = ledger.read_import(connection, import_id)
    if seen.plan is not None and Staging(import_id, seen.read_plan).held:
        lock(connection, seen.read_plan.target)
    return ledger.read_import(connection, import_id, lock=True)


def _is_of_table(imported: Import) -> bool:
    return imported.plan is not None and imported.read_plan.is_direct


def _undo_table(settings: Settings, import_id: UUID) -> Import:
    with pool.transaction(settings) as connection:
        connection.execute("set local statement_timeout = 0")
        imported = ledger.read_import(connection, import_id, lock=True)
        _check(imported)
        try:
            result = _undo(connection, settings, imported)
        except psycopg.errors.ForeignKeyViolation as error:
            raise Conflict(f"other rows refer to imported ones: {error.diag.message_detail}") from error
        ledger.finish_import(connection, import_id, "undone", result={**imported.result, "undo": result})
        return ledger.read_import(connection, import_id)


def _check(imported: Import) -> None:
    if imported.state == "undone":
        raise Conflict("the import has been undone already")
    if not imported.is_final:
        raise Conflict(f"the import is {imported.state}: let it end first")
    if imported.plan is None:
        raise Conflict("the import has loaded nothing")


def _undo(connection: Connection, settings: Settings, imported: Import) -> dict[str, int]:
    plan = imported.read_plan
    writer = TableWriter(imported.id, plan, plan.zone_or(settings))
    changes, restored, removed = writer.restore_changes(connection)
    kept = changes - restored - removed
    load_batches = connection.execute(
        """select from_offset, from_line, to_offset from raw.import_batches
           where import_id = %s and not compared order by from_offset""",
        (imported.id,),
    ).fetchall()
    with open_contents(settings, imported) as file:
        # what an empty cell holds may have been said before the batch: such a file is read once, from its beginning
        whole = read_batches(file, plan, plan.dialect.body, plan.dialect.first_line) if plan.carried else None
        for from_offset, from_line, to_offset in load_batches:
            parsed = whole or read_batches(file, plan, from_offset, from_line)
            copied, gone = writer.remove_copied(connection, _records(parsed, from_offset, to_offset))
            removed, kept = removed + gone, kept + copied - gone
    connection.execute("delete from raw.import_changes where import_id = %s", (imported.id,))
    return {"removed": removed, "restored": restored, "kept": kept}


def _records(parsed_batches: Iterator[ParsedBatch], offset: int, end: int) -> Iterator[bytes]:
    """The records of a batch, read again. They may be cut elsewhere now, but a batch ends where a record does."""
    for parsed in parsed_batches:
        if parsed.end <= offset:
            continue
        yield parsed.data[: end - offset] if parsed.origin is None else parsed.data
        offset = parsed.end
        if offset >= end:  # what comes next is the next batch's
            return
