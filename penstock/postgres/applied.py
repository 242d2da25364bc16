"""What a database was given: the ledger of migrations, by version, with a digest of each.

The ledger is the Supabase CLI's, `supabase_migrations.schema_migrations`, so that either may go on where the other
stopped. `penstock migrate` keeps a file in it whole, the CLI as a list of trimmed statements. The digest is therefore
one of the text without blanks, line ends and semicolons, in which the two are equal, with the schema of
`PENSTOCK_PUBLIC_SCHEMA` as `public`: a file has the same digest however and wherever it was applied.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from penstock.postgres.public_schema import quoted
from penstock.settings import public_schema

_IGNORED: Final = " \t\r\n;"

_LEDGER: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text not null primary key, statements text[], name text
)
"""
_EARLY_LEDGER: Final = """
alter table supabase_migrations.schema_migrations
  add column if not exists statements text[], add column if not exists name text
"""
_COLUMNS: Final = """
select a.attname from pg_catalog.pg_attribute as a
where a.attrelid = to_regclass('supabase_migrations.schema_migrations') and a.attnum > 0 and not a.attisdropped
"""
_APPLIED: Final = """
select m.version, encode(sha256(convert_to(nullif(translate(
    replace(array_to_string(m.statements, ''), %(schema)s, 'public'), %(ignored)s, ''), ''), 'UTF8')), 'hex'),
  coalesce(cardinality(m.statements) = 1 and right(m.statements[1], 1) = chr(10), false)
from supabase_migrations.schema_migrations as m
"""
_VERSIONS: Final = "select m.version, null, false from supabase_migrations.schema_migrations as m"
# The store's guard knows where the store is: the table may have namesakes.
_INSTALLED_IN: Final = """
select n.nspname
from pg_catalog.pg_trigger as t
inner join pg_catalog.pg_class as c on c.oid = t.tgrelid
inner join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
inner join pg_catalog.pg_proc as p on p.oid = t.tgfoid
inner join pg_catalog.pg_namespace as f on f.oid = p.pronamespace
where t.tgname = 'event_store_refuse_change' and f.nspname = 'penstock'
"""


@dataclass(frozen=True)
class Applied:
    """One entry. `digest` is None where the ledger has no text; `whole`: `penstock migrate` wrote it."""

    digest: str | None
    whole: bool


def digest_of(text: str) -> str:
    """The SHA-256, in hexadecimal, of a file of ours or of its statements."""
    return hashlib.sha256(text.translate({ord(each): None for each in _IGNORED}).encode()).hexdigest()


def applied_migrations(connection: psycopg.Connection[Any]) -> dict[str, Applied]:
    """What the ledger says, by version; nothing where there is none. One of an early CLI has versions alone."""
    columns = _columns(connection)
    if not columns:
        return {}
    query = _APPLIED if "statements" in columns else _VERSIONS
    rows = connection.execute(query, {"schema": quoted(public_schema()), "ignored": _IGNORED}).fetchall()
    return {version: Applied(digest, whole) for version, digest, whole in rows}


def lock_ledger(connection: psycopg.Connection[Any]) -> None:
    """Make the ledger if there is none, and keep others from writing to it for the rest of the transaction."""
    connection.execute(_LEDGER)
    if not {"name", "statements"} <= _columns(connection):
        connection.execute(_EARLY_LEDGER)
    connection.execute("lock table supabase_migrations.schema_migrations in exclusive mode")


def _columns(connection: psycopg.Connection[Any]) -> set[str]:
    return {name for (name,) in connection.execute(_COLUMNS)}


def schema_fault(connection: psycopg.Connection[Any]) -> str | None:
    """What is wrong where the store is in another schema than the setting says."""
    row = connection.execute(_INSTALLED_IN).fetchone()
    if row is None or row[0] == public_schema():
        return None
    return (
        f"Penstock is in the schema {row[0]} of this database, but PENSTOCK_PUBLIC_SCHEMA says {public_schema()}:"
        f" set it to {row[0]}"
    )


def digest_fault(file: str, applied: Applied, digest: str) -> str | None:
    """One sentence on an entry that is not known to be this file, None if it is."""
    if applied.digest == digest:
        return None
    if applied.digest is None:
        return (
            f"{file} is marked as applied in this database, but the ledger does not say what was applied: if it was"
            f" this file, `supabase migration repair --status applied {file.partition('_')[0]}` writes it down"
        )
    return (
        f"{file} differs from what this database was given under that version, by a build from before 0.2.0 or by an"
        " edited file: restore that file or version, or move the events to an empty database (docs/deploy.md)"
    )
