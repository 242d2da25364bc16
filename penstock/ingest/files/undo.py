"""Take a table import back: rows that it added go, rows that it changed are as they were.

A row that somebody has changed since is left alone and counted. Events cannot be taken back: the store is append-only.
"""

from collections.abc import Iterator
from typing import BinaryIO
from uuid import UUID

import psycopg

from penstock.errors import Conflict
from penstock.ingest.files import ledger
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.tables import TableWriter
from penstock.ingest.files.opened import open_contents
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.plan import Plan
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings


def undo_import(settings: Settings, import_id: UUID) -> Import:
    """Undo it in one transaction; `result` says how many rows were removed, restored and kept.

    Raises `Conflict` for an import of events, for one that is still running or undone already, and when other rows
    refer to a row that would have to go.
    """
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
    if imported.plan is None or not imported.read_plan.is_direct:
        raise Conflict("only imports into tables can be undone: events are never deleted, append what corrects them")
    if imported.state == "undone":
        raise Conflict("the import has been undone already")
    if not imported.is_final:
        raise Conflict(f"the import is {imported.state}: let it end first")


def _undo(connection: Connection, settings: Settings, imported: Import) -> dict[str, int]:
    plan = imported.read_plan
    writer = TableWriter(imported.id, plan, settings.timezone)
    changes, restored, removed = writer.restore_changes(connection)
    kept = changes - restored - removed
    load_batches = connection.execute(
        """select from_offset, from_line, to_offset from raw.import_batches
           where import_id = %s and not compared order by from_offset""",
        (imported.id,),
    ).fetchall()
    with open_contents(settings, imported) as file:
        for from_offset, from_line, to_offset in load_batches:
            copied, gone = writer.remove_copied(connection, _records(file, plan, from_offset, from_line, to_offset))
            removed, kept = removed + gone, kept + copied - gone
    connection.execute("delete from raw.import_changes where import_id = %s", (imported.id,))
    return {"removed": removed, "restored": restored, "kept": kept}


def _records(file: BinaryIO, plan: Plan, offset: int, line: int, end: int) -> Iterator[bytes]:
    """The records of a batch, read again. They may be cut elsewhere now, but a batch ends where a record does."""
    for parsed in read_batches(file, plan, offset, line):
        if offset >= end:
            return
        yield parsed.data[: end - offset] if parsed.origin is None else parsed.data
        offset = parsed.end
