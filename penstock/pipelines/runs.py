"""Runs: what each pipeline did, in `ops.runs`, the same on Inngest Cloud, self-hosted or local.

`record_run` is for a run inside one call; `start_run` and `finish_run` for one whose steps are calls of their own.
`record_wake` is for work that comes many times a second: wakes of one pipeline within a minute share a row, and a wake
that found nothing leaves none.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4, uuid5

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from penstock import json_codec
from penstock.errors import PenstockError
from penstock.postgres import pool
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection
from penstock.redaction import error_text, redact
from penstock.settings import Settings

MAX_PAGE = 1000
_NAMESPACE = UUID("5a0e3f6c-8f0b-5b0e-9d6e-2f6a6d0f7a11")


@dataclass
class RunCounts:
    """What a run says about itself, filled in while it goes."""

    id: UUID
    rows_in: int = 0
    rows_out: int = 0
    rows_rejected: int = 0
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """A row of `ops.runs`. `duration_ms` of a run that goes on is the time until now."""

    id: UUID
    pipeline: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    duration_ms: int
    rows_in: int
    rows_out: int
    rows_rejected: int
    error: str | None
    correlation_id: str | None
    details: dict[str, Any]


@contextmanager
def record_run(settings: Settings, pipeline: str, correlation_id: str | None = None) -> Iterator[RunCounts]:
    """Record a run: `running` at once, then `completed` with the result's counts, or `failed` with the error."""
    counts = RunCounts(uuid4())
    start_run(settings, pipeline, counts.id, correlation_id)
    try:
        yield counts
    except BaseException as error:
        _record_failure(settings, counts, error)
        raise
    finish_run(settings, counts)


def run_id_of(inngest_run_id: str) -> UUID:
    """The same id in every step and retry of one run of an Inngest function."""
    return uuid5(_NAMESPACE, inngest_run_id)


def start_run(settings: Settings, pipeline: str, run_id: UUID, correlation_id: str | None = None) -> None:
    """Say that a run began; a repeated call, or one after the end, changes nothing but a failure: it goes on."""
    with pool.connection(settings) as connection:
        connection.execute(_START, (run_id, pipeline, correlation_id))


def finish_run(settings: Settings, counts: RunCounts, error: str | None = None) -> bool:
    """End a run with its counts, as failed if there is an `error`; details are added to those it has.

    False if it was not running: the first end stays.
    """
    values = {
        "id": counts.id,
        "status": "failed" if error else "completed",
        "rows_in": counts.rows_in,
        "rows_out": counts.rows_out,
        "rows_rejected": counts.rows_rejected,
        "error": redact(error) if error else None,
        "details": Jsonb(counts.details, dumps=json_codec.dumps),
    }
    with pool.connection(settings) as connection:
        return connection.execute(_FINISH, values).rowcount > 0


def record_wake(
    settings: Settings, pipeline: str, started_at: datetime, rows: int, details: Mapping[str, Any] | None = None
) -> None:
    """Add a completed wake to the pipeline's row of this minute. Does nothing for 0 rows."""
    if rows:
        with pool.connection(settings) as connection:
            wanted = Jsonb(dict(details or {}), dumps=json_codec.dumps)
            connection.execute("select penstock.record_wake(%s, %s, %s, %s)", (pipeline, started_at, rows, wanted))


def list_runs(
    connection: Connection,
    *,
    pipeline: str | None = None,
    status: str | None = None,
    before: datetime | None = None,
    max_count: int = 50,
) -> list[Run]:
    """Runs, the latest first, those that started before `before`; at most 1,000, and at most 4 MB of them."""
    return page_of_runs(connection, pipeline=pipeline, status=status, before=before, max_count=max_count)[0]


def page_of_runs(
    connection: Connection, *, pipeline: str | None, status: str | None, before: datetime | None, max_count: int
) -> tuple[list[Run], bool]:
    """`list_runs`, and whether there are more."""
    max_count = min(max_count, MAX_PAGE)
    values = {"pipeline": pipeline, "status": status, "before": before, "limit": max_count + 1}
    with connection.cursor(row_factory=class_row(Run)) as cursor:
        runs, more = take(cursor, _LIST, values, max_count, _size)
    return list(runs), more


def _size(run: Run) -> int:
    return len(json_codec.dumps(asdict(run)).encode())


def _record_failure(settings: Settings, counts: RunCounts, error: BaseException) -> None:
    try:
        finish_run(settings, counts, error_text(error))
    except PenstockError as second:  # the database is gone: what matters to the caller is the first error
        error.add_note(f"the run could not be recorded as failed: {error_text(second)}")


_START = """
insert into ops.runs (id, pipeline, correlation_id) values (%s, %s, %s)
on conflict (id) do update set status = 'running', error = null, finished_at = null where ops.runs.status = 'failed'
"""
_FINISH = """
update ops.runs set status = %(status)s, finished_at = clock_timestamp(), error = %(error)s,
  rows_in = %(rows_in)s, rows_out = %(rows_out)s, rows_rejected = %(rows_rejected)s, details = details || %(details)s
where id = %(id)s and status = 'running'
"""
_LIST = """
select id, pipeline, status, started_at, finished_at,
  (extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at) * 1000)::int8 as duration_ms,
  rows_in, rows_out, rows_rejected, error, correlation_id, details
from ops.runs
where (%(pipeline)s::text is null or pipeline = %(pipeline)s) and (%(status)s::text is null or status = %(status)s)
  and (%(before)s::timestamptz is null or started_at < %(before)s)
order by started_at desc, id limit %(limit)s
"""
