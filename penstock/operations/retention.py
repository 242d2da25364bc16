"""Forget what no longer helps: ended runs, resolved dead letters, worked deliveries, old imports, abandoned uploads.

Events, and what is open, are never touched.
"""

from dataclasses import dataclass
from datetime import timedelta

from penstock.ingest.files import outdated
from penstock.ingest.files.storage import abandoned
from penstock.postgres import pool
from penstock.settings import Settings

RUNS_KEPT = timedelta(days=30)
DEAD_LETTERS_KEPT = timedelta(days=90)
DELIVERIES_KEPT = timedelta(days=90)
LONGEST_RUN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Purged:
    runs: int
    dead_letters: int
    abandoned: int
    deliveries: int
    imports: int
    uploads: int
    files: int


def purge(settings: Settings, *, runs_kept: timedelta = RUNS_KEPT) -> Purged:
    """Delete what is old; a run that says `running` for a day was killed, and is marked failed.

    A delivery goes only once its events are in the store. The same one again would become the same events, which are
    known there.
    """
    with pool.transaction(settings) as connection:
        ended = connection.execute(_ABANDON, (LONGEST_RUN,)).rowcount
        runs = connection.execute(_PURGE_RUNS, (runs_kept,)).rowcount
        letters = connection.execute(_PURGE_DEAD_LETTERS, (DEAD_LETTERS_KEPT,)).rowcount
        deliveries = connection.execute(_PURGE_DELIVERIES, (DELIVERIES_KEPT,)).rowcount
    imports = outdated.forget_old(settings)
    swept = abandoned.sweep(settings)  # after them: their files belong to no import now
    return Purged(runs, letters, ended, deliveries, imports, swept.uploads, swept.files)


_ABANDON = """
update ops.runs set status = 'failed', finished_at = clock_timestamp(), error = 'abandoned: it never reported an end'
where status = 'running' and started_at < now() - %s
"""
_PURGE_RUNS = "delete from ops.runs where status <> 'running' and started_at < now() - %s"
_PURGE_DEAD_LETTERS = "delete from ops.dead_letters where resolved_at < now() - %s"
_PURGE_DELIVERIES = "delete from raw.webhook_inbox where status = 'appended' and processed_at < now() - %s"
