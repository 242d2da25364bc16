"""The lines that were left out as CSV that is safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO
from uuid import UUID

from penstock.ingest.files import kept_rejects, ledger
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.slow_path import KEPT, RejectedRecord
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings

HEADER = ("line", "byte_offset", "outcome", "field", "reason", "content")
PAGE = 1000
# A spreadsheet takes a cell that begins like this for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def reject_lines(settings: Settings, import_id: UUID) -> Iterator[str]:
    """Yield CSV text by pages, in the order of the file."""
    yield _written([HEADER])
    last = (0, 0)
    while rows := _page(settings, import_id, last):
        last = (rows[-1][1], rows[-1][0])
        yield _written([tuple(escape_formula(cell) for cell in row[1:]) for row in rows])
    if notes := _notes(settings, import_id):
        yield _written(notes)


def _notes(settings: Settings, import_id: UUID) -> list[tuple[object, ...]]:
    """The last lines where not all that was left out is kept: nobody shall take the list for complete."""
    with pool.connection(settings) as connection:
        imported = ledger.read_import(connection, import_id)
    more = {
        "rejected or held": imported.rejected + imported.held - imported.rejects_kept,
        "skipped": imported.skipped - imported.skips_kept,
    }
    return [
        (None, None, None, None, f"{number} more lines were {what}: they are counted, not listed", None)
        for what, number in more.items()
        if number > 0
    ]


def fill_contents(connection: Connection, import_id: UUID, file: BinaryIO) -> None:
    """Give the lines that were refused after they had been staged their content, in one pass over the file.

    As many of them as there is room for; the others keep number and reason.
    """
    imported = ledger.read_import(connection, import_id)
    room = kept_rejects.KEPT_BYTES - imported.rejects_kept_bytes
    left = _fill(connection, imported, file, room)
    ledger.update_import(connection, import_id, rejects_kept_bytes_by=room - left)


def _fill(connection: Connection, imported: Import, file: BinaryIO, room: int) -> int:
    """Gives the room that is left."""
    page: list[tuple[int, bytes]] = []
    for line, content in _contents(connection, imported, file):
        room -= len(content)
        if room < 0:
            room = 0
            break
        page.append((line, content))
        if len(page) == PAGE:
            _write_contents(connection, imported.id, page)
            page = []
    _write_contents(connection, imported.id, page)
    return room


def _write_contents(connection: Connection, import_id: UUID, page: list[tuple[int, bytes]]) -> None:
    connection.execute(
        """update raw.import_rejects as r set line_content = c.content
           from unnest(%s::bigint[], %s::bytea[]) as c (line, content)
           where r.import_id = %s and r.line = c.line and r.line_content is null""",
        ([line for line, _ in page], [content for _, content in page], import_id),
    )


def _contents(connection: Connection, imported: Import, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that have no content yet, with it."""
    plan = imported.read_plan
    mark = plan.dialect.line_end[-1:].encode()
    wanted = _lines_without_content(connection, imported.id)
    line = next(wanted, None)
    for parsed in read_batches(file, plan, plan.dialect.body, plan.dialect.first_line):
        lines = None
        while line is not None and line < parsed.next_line:
            if parsed.origin is None and lines is None:
                lines = parsed.data.split(mark)
            content = parsed.origin if lines is None else lines[line - parsed.line]
            yield line, (content or b"")[:KEPT].rstrip(b"\r\n")
            line = next(wanted, None)
        if line is None:
            return


def _lines_without_content(connection: Connection, import_id: UUID) -> Iterator[int]:
    last = 0
    while lines := connection.execute(
        """select distinct line from raw.import_rejects
           where import_id = %s and line > %s and line_content is null order by line limit %s""",
        (import_id, last, PAGE),
    ).fetchall():
        yield from (line for (line,) in lines)
        last = lines[-1][0]


def _page(
    settings: Settings, import_id: UUID, after: tuple[int, int]
) -> list[tuple[int, int, int, str, str, str, bytes]]:
    with pool.connection(settings) as connection:
        return connection.execute(
            """select id, line, byte_offset, outcome, field, reason, line_content
               from raw.import_rejects where import_id = %s and (line, id) > (%s, %s) order by line, id limit %s""",
            (import_id, *after, PAGE),
        ).fetchall()


def shown_reject(reject: RejectedRecord) -> dict[str, Any]:
    """As a dry run and a preview show it."""
    return {
        "line": reject.line,
        "outcome": reject.outcome,
        "field": reject.field,
        "reason": reject.reason,
        "content": escape_formula(reject.content),
    }


def escape_formula(cell: object) -> object:
    """Text as it came, with a quote before what a spreadsheet would run; bytes that are not text as \\xNN."""
    if isinstance(cell, bytes):
        cell = cell.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")
    if isinstance(cell, str) and cell.startswith(FORMULA_STARTS):
        return "'" + cell
    return cell


def _written(rows: list[tuple[object, ...]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()
