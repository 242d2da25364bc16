"""Check that everything that Penstock depends on is there and keeps up; `penstock doctor` shows the answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from penstock.errors import PenstockError
from penstock.event_store import high_water_mark
from penstock.operations.metrics import incomplete_imports, late_subscriptions
from penstock.postgres import migrations, pool
from penstock.postgres.pool import Connection
from penstock.redaction import error_text
from penstock.settings import Settings

DEV_SERVER = "http://127.0.0.1:8288"


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    ok: bool
    message: str


def run_checks(settings: Settings) -> list[Check]:
    """All checks, in an order in which the first that fails explains those after it."""
    return [*_database_checks(settings), _inngest(settings)]


def _database_checks(settings: Settings) -> Iterator[Check]:
    try:
        with pool.connection(settings) as connection:
            yield Check("database", True, _server_version(connection))
            state = _migrations(connection)
            yield state
            if not state.ok:
                return
            yield _writes(connection)
            yield from (check(connection, settings) for check in _CHECKS)
    except PenstockError as error:
        yield Check("database", False, error_text(error))


def _migrations(connection: Connection) -> Check:
    if pending := migrations.pending_migrations(connection):
        return Check("migrations", False, f"{len(pending)} to apply, from {pending[0]} on: penstock migrate")
    if edited := migrations.edited_migrations(connection):
        return Check("migrations", False, f"{len(edited)} are of another version of Penstock, from {edited[0]} on")
    return Check("migrations", True, "all applied")


def _server_version(connection: Connection) -> str:
    through = "" if connection.prepare_threshold is not None else ", through a pooler: no statement is prepared"
    return f"Postgres {_value(connection, 'show server_version')}{through}"


def _writes(connection: Connection) -> Check:
    """Supabase makes a database read-only when its disk is full; a standby is always so."""
    if _value(connection, "show transaction_read_only") == "off":
        return Check("writes", True, "taken")
    if _value(connection, "select pg_is_in_recovery()"):
        return Check(
            "writes", False, "the database is a standby, so it is read-only: DATABASE_URL must name the primary"
        )
    message = "the database is read-only, as Supabase makes it when its disk is full: make room, then switch writes on"
    return Check("writes", False, message)


def _timezone(connection: Connection, settings: Settings) -> Check:
    stored = _value(connection, "select penstock.business_timezone()")
    earliest = _value(connection, "select c.earliest_day from penstock.configuration as c")
    if stored == settings.timezone and earliest != settings.earliest_day:
        message = (
            f"PENSTOCK_EARLIEST_DAY is {settings.earliest_day}, the database has {earliest}: penstock migrate sets it"
        )
        return Check("timezone", False, message)
    if stored == settings.timezone:
        return Check("timezone", True, settings.timezone)
    message = f"PENSTOCK_TIMEZONE is {settings.timezone}, the database has {stored}: penstock migrate sets it"
    return Check("timezone", False, message)


def _subscriptions(connection: Connection, settings: Settings) -> Check:
    safe = high_water_mark(connection)
    late = late_subscriptions(connection, settings, safe)
    named = [f"{each.subscription} is at {each.position} of {safe}" for each in late]
    return Check("subscriptions", not late, "; ".join(named) or f"all at or near position {safe}")


def _dead_letters(connection: Connection, settings: Settings) -> Check:
    letters = _value(connection, "select count(*) from ops.dead_letters where resolved_at is null")
    return Check("dead letters", not letters, f"{letters} open: penstock retry" if letters else "none is open")


def _failed_runs(connection: Connection, settings: Settings) -> Check:
    failed = _value(
        connection, "select count(*) from ops.runs where status = 'failed' and started_at > now() - interval '1 day'"
    )
    return Check("runs", not failed, f"{failed} failed within a day")


def _imports(connection: Connection, settings: Settings) -> Check:
    left_out = [found["message"] for found in incomplete_imports(connection)]
    return Check("imports", not left_out, "; ".join(left_out) or "no lines are left out")


def check_schedules(connection: Connection, settings: Settings | None = None) -> Check:
    """Without pg_cron nothing is wrong: the Inngest function `refresh-views` does the same from outside."""
    if not _value(connection, "select count(*) from pg_extension where extname = 'pg_cron'"):
        return Check("pg_cron", True, "not installed: the Inngest function refresh-views refreshes the views")
    jobs = _value(connection, "select count(*) from cron.job where jobname like 'penstock-%' and active")
    return Check("pg_cron", jobs > 0, f"{jobs} jobs" if jobs else "no job: select ops.schedule_jobs()")


_CHECKS: list[Callable[[Connection, Settings], Check]] = [
    _timezone,
    _subscriptions,
    _dead_letters,
    _failed_runs,
    _imports,
    check_schedules,
]


def _inngest(settings: Settings) -> Check:
    """A development server must answer; Inngest Cloud is checked by its keys, which production refuses to miss."""
    if not settings.inngest_dev:
        return Check("inngest", True, "Inngest Cloud or self-hosted, by INNGEST_SIGNING_KEY and INNGEST_EVENT_KEY")
    url = settings.inngest_dev if settings.inngest_dev.startswith("http") else DEV_SERVER
    try:
        httpx.get(url, timeout=3, trust_env=False)
    except httpx.HTTPError as error:
        return Check("inngest", False, f"no answer from {url}: {error_text(error)}")
    return Check("inngest", True, f"a development server answers at {url}")


def _value(connection: Connection, query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
