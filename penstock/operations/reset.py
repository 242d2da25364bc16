"""Start over: all data goes, what was set up stays. See 20261121000540_penstock_reset.sql for what is which."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
from psycopg import sql

from penstock.errors import Conflict, RebuildInProgress, Unavailable
from penstock.ingest.files.storage import abandoned
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.postgres.public_schema import place_of
from penstock.projections import projections
from penstock.settings import Settings

ATTEMPTS: Final = 3

_COUNTS: Final = """
select (select count(*) from public.event_store), (select count(*) from penstock.streams),
  (select count(*) from raw.imports)
"""
_TRY_LOCK: Final = "select pg_try_advisory_xact_lock(hashtext('penstock rebuild'), hashtext(%s))"


@dataclass(frozen=True, slots=True)
class Held:
    """What a database holds."""

    events: int
    streams: int
    imports: int


def what_is_held(settings: Settings) -> Held:
    with pool.connection(settings) as connection:
        row = connection.execute(_COUNTS).fetchone()
    assert row is not None
    return Held(*row)


def reset_data(settings: Settings, tables: Sequence[str]) -> int:
    """Delete all data of the database, that of the domains' `tables` too, and then the files of imports.

    Gives how many files. All or nothing in the database; a call that was killed before the files were gone deletes them
    when it is made again. Raises `RebuildInProgress` while a read model is being rebuilt (its copy would bring rows
    back), `Conflict` if a table that is not named refers to one of ours, `Unavailable` if other transactions do not
    make way.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with pool.transaction(settings) as connection:
                _reset(connection, tables)
            break
        except Unavailable:  # a deadlock, or a lock that was not given in time
            if attempt == ATTEMPTS:
                raise
    return abandoned.sweep(settings, kept=timedelta()).files


def _reset(connection: Connection, tables: Sequence[str]) -> None:
    connection.execute(
        "select pg_advisory_xact_lock(hashtext('penstock reset'), 0)"
    )  # two at once: one after the other
    for name in projections():
        if connection.execute(_TRY_LOCK, (name,)).fetchone() != (True,):
            raise RebuildInProgress(f"{name} is being rebuilt: reset when that has ended", projection=name)
    named = [sql.Identifier(*place_of(table)).as_string(connection) for table in dict.fromkeys(tables)]
    try:
        connection.execute("select penstock.reset_data(%s::text[]::regclass[])", (named,))
    except psycopg.errors.FeatureNotSupported as error:  # a foreign key of a table that nobody has named
        detail = error.diag.message_detail or error.diag.message_primary
        raise Conflict(f"nothing is deleted: {detail} Empty and detach that table first") from None
