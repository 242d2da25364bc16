"""A dry run: how a file would be read and what would become of it, in a transaction that is rolled back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO
from uuid import uuid4

from penstock.errors import InvalidInput
from penstock.ingest.files.load.batches import LoadBatch, load_batches
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.load.tables import TableWriter, check_table
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.contents import contents
from penstock.ingest.files.parse.dates import infer_date_formats
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.slow_path import RejectedRecord
from penstock.ingest.files.plan import Plan, make_plan
from penstock.ingest.files.reading import choose_reading
from penstock.ingest.files.rejects import escape_formula
from penstock.ingest.files.target import EventMapping, find_target
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings

ROWS = 20
BLOCK = 1 << 20


@dataclass
class _Counts:
    read: int = 0
    rejected: int = 0
    rejects: list[RejectedRecord] = field(default_factory=list)

    def add(self, batch: LoadBatch) -> None:
        self.read += batch.records + len(batch.rejects)
        self.rejected += len(batch.rejects)
        self.rejects += batch.rejects[: ROWS - len(self.rejects)]


def dry_run(
    settings: Settings, target: str, source: Path | bytes | BinaryIO, *, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read the whole file and answer with the plan, the counts, the first rows and rejects; writes nothing.

    A table's own constraints are not tried. Raises `InvalidInput` where an import would end as failed.
    """
    checked = Options.read(options)
    with _opened(source) as sent, contents(sent, checked.sheet) as file:
        with pool.connection(settings) as connection:
            reading = choose_reading(connection, target, file, checked)
        with reading.explained():
            plan = infer_date_formats(file, make_plan(find_target(target), reading.dialect, reading.options))
        with pool.connection(settings) as connection, connection.transaction(force_rollback=True):
            look = _look_at_table if plan.is_direct else _look_at_events
            counts, outcome = look(connection, settings, plan, file)
    return {
        "dry_run": True,
        "target": target,
        "plan": {**plan.described(), "remembered": reading.mapping_id},
        "read": counts.read,
        "rejected": counts.rejected,
        **outcome,
        "rejects": [_shown(reject) for reject in counts.rejects],
    }


def _look_at_table(
    connection: Connection, settings: Settings, plan: Plan, file: BinaryIO
) -> tuple[_Counts, dict[str, Any]]:
    check_table(connection, plan.target, plan)
    counts = _Counts()
    writer = TableWriter(uuid4(), plan, settings.timezone)
    added, updated, duplicate = writer.preview(connection, _counted(plan, file, counts))
    rows = writer.preview_rows(connection, ROWS)
    return counts, {"loaded": added + updated, "updated": updated, "duplicate": duplicate, "rows": rows}


def _counted(plan: Plan, file: BinaryIO, counts: _Counts) -> Iterator[bytes]:
    for batch in _batches(plan, file):
        yield from batch.stream()
        counts.add(batch)


def _batches(plan: Plan, file: BinaryIO) -> Iterator[LoadBatch]:
    offset, line = plan.dialect.body, plan.dialect.first_line
    return load_batches(read_batches(file, plan, offset, line), offset, line)


def _look_at_events(
    connection: Connection, settings: Settings, plan: Plan, file: BinaryIO
) -> tuple[_Counts, dict[str, Any]]:
    mapping, counts, staged = plan.target.into, _Counts(), 0
    assert isinstance(mapping, EventMapping)
    staging = Staging(uuid4(), plan)
    staging.create(connection, settings.timezone)
    for batch in _batches(plan, file):
        staged += staging.copy(connection, batch, staged, settings.timezone)
        counts.add(batch)
    number, _ = staging.form_events(connection, mapping, _now(connection), "dry run", "dry run")
    loaded, duplicate, conflict = staging.classify(connection, mapping, staged)
    counts.rejected += conflict
    rows = staging.preview_rows(connection, ROWS)
    return counts, {"loaded": loaded, "duplicate": duplicate, "facts": number, "rows": rows}


def _now(connection: Connection) -> Any:
    row = connection.execute("select now()").fetchone()
    assert row is not None
    return row[0]


def _shown(reject: RejectedRecord) -> dict[str, Any]:
    return {
        "line": reject.line,
        "field": reject.field,
        "reason": reject.reason,
        "content": escape_formula(reject.content),
    }


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
            while block := source.read(BLOCK):
                copy.write(block)
            yield copy
