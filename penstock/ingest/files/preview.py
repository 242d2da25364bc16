"""A dry run: how a file would be read and what would become of it, in a transaction that is rolled back.

It is a look, bounded in rows and in time: of a large file the beginning is read, and the answer says so.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO, RawIOBase, UnsupportedOperation
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID, uuid4

from penstock.errors import InvalidInput
from penstock.ingest.files.hints import SAMPLE, Fault, column_warnings, reject_warnings
from penstock.ingest.files.load.batches import LoadBatch, load_batches
from penstock.ingest.files.load.held import Held
from penstock.ingest.files.load.joined import broken_warnings
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.load.tables import TableWriter, check_table
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.contents import contents
from penstock.ingest.files.parse.joins import Lookup
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.slow_path import RejectedRecord
from penstock.ingest.files.parse.stream import BLOCK
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planned import lookup_of, plan_file
from penstock.ingest.files.rejects import shown_reject
from penstock.ingest.files.target import EventMapping, find_target
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings

ROWS = 20
ROWS_LOOKED_AT = 10_000
SECONDS = 5.0
"""A look ends with the block in which it has read so many rows, or for so long."""
DATES_LOOKED_AT = 200_000
"""What a day means may be decided far down in a column; so many of its values are asked."""


@dataclass
class _Counts:
    read: int = 0
    complete: bool = True
    skipped: int = 0
    rejected: int = 0
    rejects: list[RejectedRecord] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def add(self, batch: LoadBatch) -> None:
        self.read += batch.records + len(batch.rejects)
        skipped = sum(reject.outcome == "skipped" for reject in batch.rejects)
        self.skipped += skipped
        self.rejected += len(batch.rejects) - skipped
        self.rejects += batch.rejects[: ROWS - len(self.rejects)]
        faults = [reject for reject in batch.rejects if reject.outcome == "rejected"][: SAMPLE - len(self.faults)]
        self.faults += [Fault(reject.field, reject.reason, reject.content) for reject in faults]


def dry_run(
    settings: Settings, target: str, source: Path | bytes | BinaryIO, *, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read the beginning of the file and answer with the plan, the counts, the first rows and rejects; writes nothing.

    `complete` is whether that was all of it: if not, the counts are of what was read. A table's own constraints are not
    tried. Raises `InvalidInput` where an import would end as failed.
    """
    checked = Options.read(options)
    with (
        _opened(source) as sent,
        contents(sent, checked.sheet) as file,
        pool.connection(settings) as connection,
        connection.transaction(force_rollback=True),
    ):
        import_id = uuid4()
        said = find_target(target).said_by(settings)
        reading, plan = plan_file(connection, settings, target, file, checked, import_id, said, DATES_LOOKED_AT)
        look = _look_at_table if plan.is_direct else _look_at_events
        counts, outcome = look(connection, settings, plan, file, import_id)
    return {
        "dry_run": True,
        "target": target,
        "plan": {**plan.described(), "remembered": reading.mapping_id},
        "complete": counts.complete,
        "read": counts.read,
        "skipped": counts.skipped,
        "rejected": counts.rejected,
        **outcome,
        "warnings": [
            *broken_warnings(plan.joins),
            *column_warnings(plan, reading.options.mapping),
            *reject_warnings(plan, counts.faults, counts.rejected, counts.read - counts.skipped),
        ],
        "rejects": [shown_reject(reject) for reject in counts.rejects],
    }


def _look_at_table(
    connection: Connection, settings: Settings, plan: Plan, file: BinaryIO, import_id: UUID
) -> tuple[_Counts, dict[str, Any]]:
    check_table(connection, plan.target, plan)
    counts = _Counts()
    writer = TableWriter(import_id, plan, plan.zone_or(settings))
    added, updated, duplicate = writer.preview(connection, _counted(plan, file, counts))
    rows = writer.preview_rows(connection, ROWS)
    return counts, {"loaded": added + updated, "held": 0, "updated": updated, "duplicate": duplicate, "rows": rows}


def _counted(plan: Plan, file: BinaryIO, counts: _Counts) -> Iterator[bytes]:
    for batch in _batches(plan, file, counts, None):
        yield from batch.stream()
        counts.add(batch)


def _batches(plan: Plan, file: BinaryIO, counts: _Counts, lookup: Lookup | None) -> Iterator[LoadBatch]:
    offset, line = plan.dialect.body, plan.dialect.first_line
    return load_batches(_beginning(read_batches(file, plan, offset, line, lookup=lookup), counts), offset, line)


def _beginning(parsed_batches: Iterator[ParsedBatch], counts: _Counts) -> Iterator[ParsedBatch]:
    deadline, rows = time.monotonic() + SECONDS, 0
    for parsed in parsed_batches:
        # the last record of a table's block comes apart, when what follows it is known: it belongs to those before
        is_last_of_block = parsed.records == 1 and parsed.origin is None
        if (rows >= ROWS_LOOKED_AT and not is_last_of_block) or time.monotonic() > deadline:
            counts.complete = False
            return
        yield parsed
        rows += parsed.records + (parsed.reject is not None)


def _look_at_events(
    connection: Connection, settings: Settings, plan: Plan, file: BinaryIO, import_id: UUID
) -> tuple[_Counts, dict[str, Any]]:
    mapping, counts, staged = plan.target.into, _Counts(), 0
    assert isinstance(mapping, EventMapping)
    staging = Staging(import_id, plan)
    staging.create(connection, plan.zone_or(settings))
    for batch in _batches(plan, file, counts, lookup_of(connection, import_id, plan)):
        staged += staging.copy(connection, batch, staged, plan.zone_or(settings))
        counts.add(batch)
    held = staging.held.find(connection) if staging.held else Held()
    number, _ = staging.form_events(connection, mapping, _now(connection), "dry run", "dry run", held=held.keys > 0)
    loaded, duplicate, conflict = staging.classify(connection, mapping, staged)
    counts.rejected += conflict
    rows = staging.preview_rows(connection, ROWS)
    found = {"loaded": loaded, "held": held.lines, "duplicate": duplicate + held.duplicate, "facts": number}
    return counts, {**found, "rows": rows}


def _now(connection: Connection) -> Any:
    row = connection.execute("select now()").fetchone()
    assert row is not None
    return row[0]


@contextmanager
def _opened(source: Path | bytes | BinaryIO) -> Iterator[BinaryIO]:
    """The source as a file that can be read from any place."""
    if isinstance(source, Path):
        try:
            file = source.open("rb")
        except OSError as error:
            raise InvalidInput(f"cannot be read: {error.strerror}", field=str(source)) from error
        with file:
            yield file
    elif isinstance(source, bytes):
        yield BytesIO(source)
    else:
        with TemporaryFile() as copy:
            yield cast(BinaryIO, _Spooled(source, copy))


class _Spooled(RawIOBase):
    """A stream that can be read from any place again: what has been read of it is kept, no more is asked for."""

    def __init__(self, source: BinaryIO, copy: BinaryIO) -> None:
        self._source, self._copy = source, copy
        self._kept = self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence != 0:
            raise UnsupportedOperation("the end of a stream is not known")
        self._place = offset
        return offset

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or self._kept < self._place + size) and (block := self._source.read(BLOCK)):
            self._copy.seek(self._kept)
            self._kept += self._copy.write(block)
        self._copy.seek(self._place)
        found = self._copy.read(size)
        self._place += len(found)
        return found
