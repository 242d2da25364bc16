"""Forget what no longer helps: ended runs and resolved dead letters. Events, and what is open, are never touched."""

from dataclasses import dataclass
from datetime import timedelta

from penstock import database
from penstock.settings import Settings

RUNS_KEPT = timedelta(days=30)
DEAD_LETTERS_KEPT = timedelta(days=90)
LONGEST_RUN = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Purged:
    runs: int
    dead_letters: int
    abandoned: int


def purge(settings: Settings, *, runs_kept: timedelta = RUNS_KEPT) -> Purged:
    """Delete old runs and letters; a run that says `running` for a day was killed, and is marked failed."""
    with database.transaction(settings) as connection:
        abandoned = connection.execute(_ABANDON, (LONGEST_RUN,)).rowcount
        runs = connection.execute(_PURGE_RUNS, (runs_kept,)).rowcount
        letters = connection.execute(_PURGE_DEAD_LETTERS, (DEAD_LETTERS_KEPT,)).rowcount
    return Purged(runs, letters, abandoned)


_ABANDON = """
update ops.runs set status = 'failed', finished_at = clock_timestamp(), error = 'abandoned: it never reported an end'
where status = 'running' and started_at < now() - %s
"""
_PURGE_RUNS = "delete from ops.runs where status <> 'running' and started_at < now() - %s"
_PURGE_DEAD_LETTERS = "delete from ops.dead_letters where resolved_at < now() - %s"
