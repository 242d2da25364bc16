"""An import from its first byte to its last event, in steps that may stop anywhere.

`waiting` → (planned) → `loading` → `forming` → `appending` → `completed`, or `completed_with_rejects` if a larger share
than asked for was refused; or `failed` (the file cannot be read), `aborted` (more rejects than asked for) or, later,
`undone`. Every step is a transaction that changes the counts together with the rows, so a run that is killed goes on
where the last step ended.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO
from uuid import UUID

import psycopg

from penstock.errors import PenstockError, SettingsError, Unavailable
from penstock.ingest.files import ledger
from penstock.ingest.files.hints import SAMPLE, column_warnings, reject_warnings
from penstock.ingest.files.kept_rejects import ROW_BYTES, first_faults, keep_rejects
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.batches import LoadBatch, load_batches
from penstock.ingest.files.load.held import HeldLines, lock
from penstock.ingest.files.load.joined import JoinTables, join_warnings
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.load.tables import TableWriter, check_table
from penstock.ingest.files.opened import open_contents
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.stream import Meter
from penstock.ingest.files.planned import lookup_of, plan_file
from penstock.ingest.files.rejects import fill_contents
from penstock.ingest.files.remembered import note_use
from penstock.ingest.files.storage.stored_files import drop_incoming, store_incoming
from penstock.ingest.files.target import EventMapping
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.redaction import error_text
from penstock.settings import Settings

EVENTS_A_STEP = 10_000
"""Events wait for no longer than the append of so many rows takes."""
ROWS_A_BUCKET = 1_000_000
"""Of larger files the events are formed bucket by bucket, so that no step takes long."""
ROWS_FOR_TWO = 50_000
"""From so many rows on the events are formed on two connections."""
MAX_ATTEMPTS = 10
"""So often a worker may begin without getting anywhere; with the retries of Inngest's that is about an hour."""

# InternalError: among others, a database that is read-only for now
_PASSING = (
    Unavailable,
    SettingsError,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.InternalError,
    OSError,
    MemoryError,
)

log = logging.getLogger("penstock.ingest.files")


def advance_import(settings: Settings, import_id: UUID, *, seconds: float | None = None) -> Import:
    """Work on an import until it is final or `seconds` have passed; gives it as it is then.

    Call it again until `is_final`. Safe to call twice at once and after any crash. An error that may pass is raised,
    so that the caller tries again; any other, and the last of `MAX_ATTEMPTS` that got nowhere, ends the import.
    """
    runner = _Runner(settings, import_id, None if seconds is None else time.monotonic() + seconds)
    with pool.connection(settings) as connection:
        ledger.begin_attempt(connection, import_id)
        while True:
            imported = ledger.read_import(connection, import_id)
            if imported.is_final or imported.state == "uploading" or runner.out_of_time:
                return imported
            runner.step(connection, imported)


@dataclass
class _Runner:
    settings: Settings
    import_id: UUID
    deadline: float | None
    worked: bool = False
    writer: TableWriter | None = None

    @property
    def out_of_time(self) -> bool:
        """At least one step is made, or a short time would make no progress at all."""
        return self.worked and self.deadline is not None and time.monotonic() >= self.deadline

    def step(self, connection: Connection, imported: Import) -> None:
        steps = {"waiting": self.plan, "loading": self.load, "forming": self.form, "appending": self.append}
        try:
            if imported.attempts > MAX_ATTEMPTS:
                self.give_up(connection, imported)
            else:
                steps[imported.state](connection, imported)
        except _PASSING as error:
            with suppress(psycopg.Error):  # the database itself may be what failed
                ledger.note_error(connection, self.import_id, error_text(error))
            raise
        except (PenstockError, psycopg.DataError) as error:
            self.fail(connection, imported, str(error))
        except Exception as error:
            # the same file would end there again and again
            log.exception("import %s cannot go on", self.import_id)
            self.fail(connection, imported, f"the import cannot go on: {error_text(error)}")
        self.worked = True

    def give_up(self, connection: Connection, imported: Import) -> None:
        last = f"the last one ended with {imported.error}" if imported.error else "each worker was killed or vanished"
        self.fail(connection, imported, f"given up after {MAX_ATTEMPTS} attempts without progress; {last}")

    def fail(self, connection: Connection, seen: Import, reason: str) -> None:
        """End the import, unless somebody else has brought it further than it was seen."""
        with connection.transaction():
            imported = ledger.read_import(connection, self.import_id, lock=True)
            if (imported.state, imported.offset_bytes, imported.progress) != (
                seen.state,
                seen.offset_bytes,
                seen.progress,
            ):
                return
            if imported.plan:
                Staging(imported.id, imported.read_plan).drop(connection)
            JoinTables(imported.id, imported.options.get("join", ())).drop(connection)
            ledger.finish_import(connection, imported.id, "failed", error=reason)

    def plan(self, connection: Connection, imported: Import) -> None:
        if imported.is_upload:
            self.take_upload(connection, imported)
            return
        with open_contents(self.settings, imported) as file:
            options, said = Options.read(imported.options_given), imported.from_settings
            reading, plan = plan_file(connection, self.settings, imported.target, file, options, imported.id, said)
        with connection.transaction():
            if ledger.read_import(connection, imported.id, lock=True).state != "waiting":
                return
            if reading.mapping:
                note_use(connection, reading.mapping.id)
            if plan.is_direct:
                check_table(connection, plan.target, plan)
            else:
                Staging(imported.id, plan).create(connection, plan.zone_or(self.settings))
            ledger.update_import(
                connection,
                imported.id,
                plan=plan.as_json(),
                options=reading.options.as_json(),
                header_key=reading.key,
                mapping_id=reading.mapping_id,
                state="loading",
                offset_bytes=plan.dialect.body,
                next_line=plan.dialect.first_line,
            )

    def take_upload(self, connection: Connection, imported: Import) -> None:
        stored = store_incoming(self.settings, imported.id)
        with connection.transaction():
            imported = ledger.read_import(connection, imported.id, lock=True)
            if imported.is_upload and imported.state == "waiting":
                ledger.identify_upload(connection, self.settings, imported, stored)
        drop_incoming(self.settings, imported.id)

    def load(self, connection: Connection, imported: Import) -> None:
        with open_contents(self.settings, imported) as file:
            if self._is_lost(connection, imported):
                with connection.transaction():
                    ledger.start_over(connection, imported.id)
                return
            if self._load_from(connection, imported, file):
                self._end_loading(connection, imported)

    def _end_loading(self, connection: Connection, imported: Import) -> None:
        plan = imported.read_plan
        held = None if plan.is_direct else Staging(imported.id, plan).held
        with connection.transaction():
            if held:
                lock(connection, plan.target)
            now = ledger.read_import(connection, imported.id, lock=True)
            if now.state != "loading":
                return
            if plan.is_direct:
                ledger.update_import(connection, imported.id, source_bytes=imported.size_bytes)
                self._complete(connection, now)
                return
            changes = self._hold(connection, now, held) if held else {}
            changes = {"progress": {}, **changes}  # what reading carried down is over
            if plan.joins:
                changes["result"] = {**now.result, "joined": Staging(now.id, plan).joined.counts(connection)}
            ledger.update_import(connection, imported.id, state="forming", source_bytes=imported.size_bytes, **changes)

    @staticmethod
    def _hold(connection: Connection, imported: Import, lines: HeldLines) -> dict[str, Any]:
        """Hold orders back that have a rejected line; gives how the counts change."""
        found = lines.find(connection)
        if not found.keys:
            return {}
        listed = lines.keep(connection, imported)
        left_out = found.lines + found.duplicate
        return {
            "held_by": found.lines,
            "duplicate_by": found.duplicate,
            "pending_by": -left_out,
            "rejects_kept_by": listed,
            "rejects_kept_bytes_by": listed * ROW_BYTES,
            "progress": {"left_out": left_out, "held_keys": found.keys},
        }

    def _load_from(self, connection: Connection, imported: Import, file: BinaryIO) -> bool:
        """Load batch by batch; gives whether the end of the file was reached."""
        plan, meter = imported.read_plan, Meter()
        if plan.is_direct and self.writer is None:
            self.writer = TableWriter(imported.id, plan, plan.zone_or(self.settings))
        offset, line = imported.offset_bytes, imported.next_line
        lookup = lookup_of(connection, imported.id, plan)
        batches = read_batches(file, plan, offset, line, meter, imported.progress.get("above"), lookup)
        for batch in load_batches(batches, offset, line):
            if not self._load_batch(connection, batch, meter):
                return False
            self.worked = True
            if self.out_of_time:
                return False
        return True

    def _load_batch(self, connection: Connection, batch: LoadBatch, meter: Meter) -> bool:
        with connection.transaction():
            imported = ledger.read_import(connection, self.import_id, lock=True)
            if imported.state != "loading" or imported.offset_bytes != batch.from_offset:
                return False  # somebody else has advanced it: begin from where it is now
            counts = self._write_chunk(connection, imported, batch)
            counts |= keep_rejects(connection, imported, batch.rejects)
            rejected = sum(reject.outcome == "rejected" for reject in batch.rejects)
            carried = {"progress": {"above": batch.above}} if batch.above is not None else {}
            ledger.update_import(
                connection,
                imported.id,
                offset_bytes=batch.to_offset,
                next_line=batch.next_line,
                source_bytes=meter.consumed,
                rows_read_by=batch.records + len(batch.rejects),
                rejected_by=rejected,
                skipped_by=len(batch.rejects) - rejected,
                **counts,
                **carried,
            )
            if imported.reject_limit is not None and imported.rejected + rejected > imported.reject_limit:
                self._abort(connection, imported)
                return False
        return True

    def _write_chunk(self, connection: Connection, imported: Import, batch: LoadBatch) -> dict[str, int]:
        """Write the records where they belong; gives how the counts change."""
        if self.writer:
            written = self.writer.write(connection, batch)
            batch.rejects += written.rejects
            batch.records -= len(written.rejects)
            ledger.note_batch(connection, imported.id, batch, compared=written.compared)
            return {
                "loaded_by": written.added + written.updated,
                "updated_by": written.updated,
                "duplicate_by": written.duplicate,
            }
        plan = imported.read_plan
        staging = Staging(imported.id, plan)
        copied = staging.copy(connection, batch, imported.staged, plan.zone_or(self.settings))
        assert copied == batch.records, f"Postgres counted {copied} rows, we counted {batch.records}"
        return {"pending_by": copied, "staged_by": copied}

    def _abort(self, connection: Connection, imported: Import) -> None:
        Staging(imported.id, imported.read_plan).drop(connection)
        reason = f"more than {imported.reject_limit} rejected lines"
        ledger.finish_import(connection, imported.id, "aborted", error=reason)

    def _is_lost(self, connection: Connection, imported: Import) -> bool:
        plan = imported.read_plan
        return not plan.is_direct and Staging(imported.id, plan).is_lost(connection, imported)

    def _is_still(self, connection: Connection, imported: Import, state: str) -> bool:
        """False if another worker has gone further, or if the staged rows are lost and the file is to be read again."""
        if imported.state != state:
            return False
        if lost := self._is_lost(connection, imported):
            ledger.start_over(connection, imported.id)
        return not lost

    def form(self, connection: Connection, imported: Import) -> None:
        mapping = imported.read_plan.target.into
        assert isinstance(mapping, EventMapping)
        staging = Staging(imported.id, imported.read_plan)
        with connection.transaction(), self._second_connection(imported) as second:
            imported = ledger.read_import(connection, imported.id, lock=True)
            if not self._is_still(connection, imported, "forming"):
                return
            progress = {
                "bucket": 0,
                "buckets": -(-imported.staged // ROWS_A_BUCKET) or 1,
                "formed": 0,
                **imported.progress,
            }
            share = (progress["bucket"], progress["buckets"])
            _, lines = staging.form_events(
                connection,
                mapping,
                imported.created_at,
                imported.content_sha256,
                imported.actor,
                share,
                second,
                held="held_keys" in progress,
            )
            progress = {**progress, "appended": 0, "formed": progress["formed"] + lines}
            ledger.update_import(connection, imported.id, state="appending", progress=progress)

    @contextmanager
    def _second_connection(self, imported: Import) -> Iterator[Connection | None]:
        """One outside the pool: workers that hold its connections must not wait for each other."""
        if imported.staged < ROWS_FOR_TWO:
            yield None
            return
        with closing(pool.connect(self.settings.database_url)) as second:
            yield second

    def append(self, connection: Connection, imported: Import) -> None:
        mapping = imported.read_plan.target.into
        assert isinstance(mapping, EventMapping)
        staging = Staging(imported.id, imported.read_plan)
        with connection.transaction():
            if "held_keys" in imported.progress:
                lock(connection, imported.read_plan.target)
            imported = ledger.read_import(connection, imported.id, lock=True)
            if not self._is_still(connection, imported, "appending"):
                return
            after = imported.progress["appended"]
            upto = staging.cut(connection, after, EVENTS_A_STEP)
            counts = staging.append(connection, imported, mapping, after, upto)
            if staging.held and "held_keys" in imported.progress:
                staging.held.finish(connection, after, upto)
            conflicts = imported.progress.get("conflicts", 0) + counts["conflict"]
            progress = {**imported.progress, "appended": upto, "conflicts": conflicts}
            self._update_counts(connection, imported, counts, progress)
            if staging.cut(connection, upto, 1) == upto:
                self._end_bucket(connection, imported, staging, progress)

    @staticmethod
    def _complete(connection: Connection, imported: Import) -> None:
        plan = imported.read_plan
        faults = first_faults(connection, imported.id, SAMPLE)
        wanted = imported.rows_read - imported.skipped
        warnings = [
            *join_warnings(plan.joins, imported.result.get("joined", ())),
            *column_warnings(plan, Options.read(imported.options).mapping),
            *reject_warnings(plan, faults, imported.rejected, wanted),
        ]
        result = {**imported.result, "warnings": warnings} if warnings else dict(imported.result)
        ledger.finish_import(connection, imported.id, imported.loaded_state, result=result)

    def _end_bucket(self, connection: Connection, imported: Import, staging: Staging, progress: dict[str, int]) -> None:
        if progress["bucket"] + 1 < progress["buckets"]:
            staging.drop_events(connection)
            progress = {**progress, "bucket": progress["bucket"] + 1}
            ledger.update_import(connection, imported.id, state="forming", progress=progress)
            return
        left_out = progress.get("left_out", 0)
        assert progress["formed"] + left_out == imported.staged, f"{progress} of {imported.staged} staged rows"
        staging.drop(connection)
        if progress["conflicts"] or left_out:
            with open_contents(self.settings, imported) as file:
                fill_contents(connection, imported.id, file)
        self._complete(connection, ledger.read_import(connection, imported.id))

    @staticmethod
    def _update_counts(
        connection: Connection, imported: Import, counts: dict[str, int], progress: dict[str, int]
    ) -> None:
        lines = counts["loaded"] + counts["duplicate"] + counts["conflict"]
        result = dict(imported.result)
        for name in ("facts", "events", *(["early"] if counts["early"] else [])):
            result[name] = result.get(name, 0) + counts[name]
        ledger.update_import(
            connection,
            imported.id,
            loaded_by=counts["loaded"],
            duplicate_by=counts["duplicate"],
            rejected_by=counts["conflict"],
            rejects_kept_by=counts["rejects_kept"],
            rejects_kept_bytes_by=counts["rejects_kept"] * ROW_BYTES,
            pending_by=-lines,
            result=result,
            progress=progress,
        )
