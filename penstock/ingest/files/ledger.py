"""The ledger of imports: one row of `raw.imports` each, changed only together with what it counts."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from penstock.errors import Conflict, NotFound
from penstock.ingest.files.load.batches import LoadBatch
from penstock.ingest.files.options import Options
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.remembered import NOT_REMEMBERED, remember
from penstock.ingest.files.storage.stored_files import StoredFile
from penstock.ingest.files.target import find_target
from penstock.postgres.pool import Connection
from penstock.settings import Settings

FINAL_STATES = frozenset({"completed", "completed_with_rejects", "failed", "aborted", "undoing", "undone"})
"""Nothing more is loaded; what is `undoing` is taken back by `undo` alone."""
LOADED_STATES = frozenset({"completed", "completed_with_rejects"})
"""The file was read to its end."""

_COLUMNS = """id, target, mapping_id, source_name, content_sha256, size_bytes, options, from_settings, plan, state,
  error, offset_bytes, source_bytes, next_line, rows_read, loaded, skipped, rejected, held, duplicate, pending, updated,
  staged, rejects_kept, skips_kept, rejects_kept_bytes, attempts, progress, result, reject_limit, reject_share, actor,
  created_at, updated_at, finished_at"""


@dataclass(frozen=True)
class Import:
    """One import as it is now. `rows_read = loaded + skipped + rejected + held + duplicate + pending`, always."""

    id: UUID
    target: str
    mapping_id: UUID | None
    source_name: str
    content_sha256: str
    size_bytes: int
    options: Mapping[str, Any]
    from_settings: Mapping[str, str]
    plan: Mapping[str, Any] | None
    state: str
    error: str | None
    offset_bytes: int
    source_bytes: int
    next_line: int
    rows_read: int
    loaded: int
    skipped: int
    rejected: int
    held: int
    duplicate: int
    pending: int
    updated: int
    staged: int
    rejects_kept: int
    skips_kept: int
    rejects_kept_bytes: int
    attempts: int
    progress: Mapping[str, Any]
    result: Mapping[str, Any]
    reject_limit: int | None
    reject_share: float
    actor: str
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def loaded_state(self) -> str:
        """How an import ends whose file was read to its end."""
        faults = self.rejected + self.held
        return "completed_with_rejects" if faults > self.reject_share * self.rows_read else "completed"

    @property
    def is_upload(self) -> bool:
        """Whether the file has arrived and nobody has read it yet."""
        return self.content_sha256.startswith("upload ")

    @property
    def options_given(self) -> Mapping[str, Any]:
        """What the caller has said: of options that are from a remembered mapping, the others."""
        if self.mapping_id is None:
            return self.options
        return {name: value for name, value in self.options.items() if name in NOT_REMEMBERED}

    @property
    def read_plan(self) -> Plan:
        assert self.plan is not None, "planned before the first batch"
        return Plan.from_json(self.plan)

    @property
    def storing(self) -> dict[str, int] | None:
        """While lines become events, part by part of the file: which part, and how many events are stored by now."""
        if self.state not in {"forming", "appending"}:
            return None
        part, parts = self.progress.get("bucket", 0) + 1, self.progress.get("buckets", 1)
        return {"part": part, "parts": parts, "events": self.result.get("events", 0)}

    def as_json(self) -> dict[str, Any]:
        """What API, CLI and dashboard show."""
        return {
            "import_id": str(self.id),
            "target": self.target,
            "source_name": self.source_name,
            "state": self.state,
            "error": self.error,
            "size_bytes": self.size_bytes,
            "bytes_read": min(self.source_bytes, self.size_bytes),
            "read": self.rows_read,
            "loaded": self.loaded,
            "skipped": self.skipped,
            "rejected": self.rejected,
            "held": self.held,
            "rejects_kept": self.rejects_kept,
            "duplicate": self.duplicate,
            "pending": self.pending,
            "updated": self.updated,
            "storing": self.storing,
            "result": dict(self.result),
            "plan": {**self.read_plan.described(), "remembered": self.mapping_id} if self.plan else None,
            "content_sha256": self.content_sha256,
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "finished_at": self.finished_at,
        }


def open_import(
    connection: Connection,
    settings: Settings,
    target: str,
    name: str,
    file: StoredFile,
    options: Options,
    reject_limit: int | None,
    reject_share: float,
    actor: str,
) -> tuple[Import, bool]:
    """The import of this file: a new one, or the one that there is already (then True)."""
    from_settings = find_target(target).said_by(settings)
    fingerprint = _fingerprint(settings, file, options, from_settings)
    row = connection.execute(
        """insert into raw.imports
             (target, source_name, content_sha256, size_bytes, options, from_settings, fingerprint, reject_limit,
              reject_share, actor)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
           on conflict (target, fingerprint) where state not in ('failed', 'aborted', 'undone') do nothing
           returning id""",
        (
            target,
            name,
            file.sha256,
            file.size,
            Jsonb(options.as_json()),
            Jsonb(from_settings),
            fingerprint,
            reject_limit,
            reject_share,
            actor,
        ),
    ).fetchone()
    if row:
        return read_import(connection, row[0]), False
    row = connection.execute(
        """select id from raw.imports
           where target = %s and fingerprint = %s and state not in ('failed', 'aborted', 'undone')""",
        (target, fingerprint),
    ).fetchone()
    if row is None or _may_come_again(connection, row[0]):  # None: it failed between the two statements
        return open_import(connection, settings, target, name, file, options, reject_limit, reject_share, actor)
    found = read_import(connection, row[0])
    if found.state == "undoing":
        raise Conflict(f"import {found.id} of this file is being undone: `penstock import undo` it to its end first")
    return found, True


def _may_come_again(connection: Connection, import_id: UUID) -> bool:
    """Whether lines of it were early; then the same file is no longer known by it, and is loaded once more."""
    again = connection.execute(
        """update raw.imports set fingerprint = concat_ws(' ', fingerprint, id)
           where id = %s and finished_at is not null and (result ->> 'early')::bigint > 0""",
        (import_id,),
    )
    return again.rowcount > 0


def identify_upload(connection: Connection, settings: Settings, imported: Import, file: StoredFile) -> bool:
    """Note what an upload holds. If this very file was imported in this very way, the import ends with that: False."""
    fingerprint = _fingerprint(settings, file, Options.read(imported.options), imported.from_settings)
    same = connection.execute(
        """select id from raw.imports
           where target = %s and fingerprint = %s and state not in ('failed', 'aborted', 'undone')""",
        (imported.target, fingerprint),
    ).fetchone()
    if same and not _may_come_again(connection, same[0]):
        finish_import(connection, imported.id, "completed", result={"same_as": str(same[0])}, source_bytes=file.size)
        return False
    update_import(connection, imported.id, content_sha256=file.sha256, size_bytes=file.size, fingerprint=fingerprint)
    return True


def _fingerprint(settings: Settings, file: StoredFile, options: Options, from_settings: Mapping[str, str]) -> str:
    said = json.dumps(from_settings, sort_keys=True)
    return hashlib.sha256(f"{file.sha256}\n{settings.timezone}\n{said}\n{options.canonical()}".encode()).hexdigest()


def read_import(connection: Connection, import_id: UUID, *, lock: bool = False) -> Import:
    """`lock` holds the row to the end of the transaction: one batch at a time, with any number of workers."""
    with connection.cursor(row_factory=class_row(Import)) as cursor:
        found = cursor.execute(
            f"select {_COLUMNS} from raw.imports where id = %s{' for update' if lock else ''}",  # noqa: S608
            (import_id,),
        ).fetchone()
    if found is None:
        raise NotFound(f"there is no import {import_id}", import_id=str(import_id))
    return found


def list_imports(connection: Connection, max_count: int = 50) -> list[Import]:
    with connection.cursor(row_factory=class_row(Import)) as cursor:
        cursor.execute(
            f"select {_COLUMNS} from raw.imports order by created_at desc, id limit %s",  # noqa: S608
            (max_count,),
        )
        return cursor.fetchall()


def update_import(connection: Connection, import_id: UUID, **changes: Any) -> None:
    """Set columns; a name that ends in `_by` adds to the column instead. Any update counts as progress."""
    sets, values = [], []
    for name, value in {"attempts": 0, "error": None, **changes}.items():
        column = name.removesuffix("_by")
        sets.append(f"{column} = {column} + %s" if name.endswith("_by") else f"{column} = %s")
        values.append(Jsonb(value) if isinstance(value, dict) else value)
    connection.execute(
        f"update raw.imports set {', '.join(sets)}, updated_at = clock_timestamp() where id = %s",  # noqa: S608
        (*values, import_id),
    )


def begin_attempt(connection: Connection, import_id: UUID) -> None:
    """Count a worker that begins, before it can be killed; quick retries within a minute count as one."""
    connection.execute(
        """update raw.imports
           set attempts = attempts + 1, attempted_at = clock_timestamp(), updated_at = clock_timestamp()
           where id = %s and state in ('waiting', 'loading', 'forming', 'appending')
             and (attempted_at is null or attempted_at < clock_timestamp() - interval '1 minute')""",
        (import_id,),
    )


def note_error(connection: Connection, import_id: UUID, reason: str) -> None:
    """Keep what stopped a worker, to be shown; the next progress clears it."""
    connection.execute(
        """update raw.imports set error = %s
           where id = %s and state in ('waiting', 'loading', 'forming', 'appending')""",
        (reason, import_id),
    )


def finish_import(connection: Connection, import_id: UUID, state: str, **changes: Any) -> None:
    if state not in LOADED_STATES:
        connection.execute("select penstock.drop_held_lines(%s)", (import_id,))
    connection.execute("select penstock.end_held_lines(%s)", (import_id,))
    update_import(connection, import_id, state=state, **changes)
    connection.execute("update raw.imports set finished_at = clock_timestamp() where id = %s", (import_id,))
    if state == "completed":
        remember(connection, import_id)


def start_over(connection: Connection, import_id: UUID) -> None:
    """Back to the first line, when the staged rows were lost in a crash of the server."""
    connection.execute("delete from raw.import_rejects where import_id = %s", (import_id,))
    connection.execute("select penstock.drop_held_lines(%s)", (import_id,))
    update_import(
        connection,
        import_id,
        state="waiting",
        offset_bytes=0,
        source_bytes=0,
        next_line=1,
        rows_read=0,
        loaded=0,
        skipped=0,
        rejected=0,
        held=0,
        duplicate=0,
        pending=0,
        updated=0,
        staged=0,
        rejects_kept=0,
        skips_kept=0,
        rejects_kept_bytes=0,
        progress={},
        result={},
    )


def note_batch(connection: Connection, import_id: UUID, batch: LoadBatch, *, compared: bool) -> None:
    """Note which stretch of the file went into a table in which way, for `undo`."""
    connection.execute(
        """insert into raw.import_batches (import_id, from_offset, to_offset, from_line, compared)
           values (%s, %s, %s, %s, %s)""",
        (import_id, batch.from_offset, batch.to_offset, batch.from_line, compared),
    )
