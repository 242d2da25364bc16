"""Migrations: the SQL files that a database needs, which of them it has, and applying the rest.

The package carries its own (`…_penstock_….sql`): in a wheel in `penstock/migrations`, in the repository straight from
`supabase/migrations`, where they are written. A project adds the files of its folder. All share one ledger, the one
of the Supabase CLI, so that either may go on where the other stopped, and one order, that of their versions.

Where no file is deployed, `penstock/migrations/manifest.json` still says which ones there must be.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import psycopg

from penstock import errors
from penstock.postgres.former_layout import refuse_former_layout
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

CARRIED: Final = Path(__file__).parents[1] / "migrations"
MANIFEST: Final = CARRIED / "manifest.json"
REPOSITORY: Final = Path(__file__).parents[2] / "supabase" / "migrations"
OURS: Final = "*_penstock_*.sql"

_declared: set[str] = set()


@dataclass(frozen=True)
class Migration:
    """One file. `version` is the digits before the first underscore."""

    version: str
    name: str
    text: str = field(repr=False)

    @property
    def stem(self) -> str:
        return f"{self.version}_{self.name}"

    @property
    def file(self) -> str:
        return f"{self.stem}.sql"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def declare(names: Iterable[str]) -> None:
    """Say which migrations an installed domain depends on, as file names without `.sql`."""
    _declared.update(names)


def package_migrations() -> list[Migration]:
    """The package's own files. Raises `SettingsError` where none came along."""
    for folder in (CARRIED, REPOSITORY):
        if found := _read(folder, OURS):
            return found
    raise errors.SettingsError(f"this installation of Penstock has no migrations, neither in {CARRIED} nor beside it")


def migrations(folder: Path | None = None) -> list[Migration]:
    """The package's and those of `folder`, in order; a folder that is missing or empty is a `SettingsError`."""
    found = {each.version: each for each in package_migrations()}
    for own in [] if folder is None else _project_migrations(folder):
        if found.setdefault(own.version, own).text != own.text:
            raise errors.SettingsError(
                f"{folder}/{own.file} differs from {found[own.version].file} of this version of Penstock: remove it,"
                " or give a migration of your own another version"
            )
    return [found[version] for version in sorted(found)]


def migrate(
    connection: Connection,
    *,
    timezone: str = "UTC",
    earliest_day: date = date(1990, 1, 1),
    folder: Path | None = None,
) -> list[str]:
    """Apply what is missing of `migrations(folder)`, each file in a transaction; returns their names.

    Raises `Conflict` if a migration that this function applied has been edited since, `SettingsError` if a domain
    depends on one that neither the files nor the database have.
    """
    wanted = migrations(folder)
    with translate_errors():
        refuse_former_layout(connection)
        connection.execute(_LEDGER)
        done = []
        with connection.transaction():
            connection.execute("lock table supabase_migrations.schema_migrations in exclusive mode")
            applied = _applied(connection)
            _refuse_unknown(wanted, applied, folder)
            for migration in wanted:
                if migration.version in applied:
                    _refuse_edited(migration, applied[migration.version])
                else:
                    _apply(connection, migration)
                    done.append(migration.stem)
        connection.execute(
            "update penstock.configuration set timezone = %(zone)s, earliest_day = %(day)s"
            " where (timezone, earliest_day) <> (%(zone)s, %(day)s)",
            {"zone": timezone, "day": earliest_day},
        )
        return done


def pending_migrations(connection: Connection, folder: Path | None = None) -> list[str]:
    """The names of the migrations that the database lacks. Needs no file but the manifest."""
    own = [] if folder is None else _project_migrations(folder)
    wanted = {*manifest(), *_declared, *(each.stem for each in own)}
    with translate_errors():
        applied = _applied(connection)
    return sorted(name for name in wanted if _version(name) not in applied)


def edited_migrations(connection: Connection) -> list[str]:
    """The names of the package's migrations that the database has in another wording, as of another version."""
    with translate_errors():
        applied = _applied(connection)
    return [name for name, digest in manifest().items() if (applied.get(_version(name)) or digest) != digest]


def manifest() -> Mapping[str, str]:
    """The package's migrations by name, with the SHA-256 of each."""
    try:
        return {each.stem: each.digest for each in package_migrations()}
    except errors.SettingsError:
        if not MANIFEST.exists():
            raise
        listed: dict[str, str] = json.loads(MANIFEST.read_text(encoding="utf-8"))
        return listed


def write_migrations(folder: Path) -> list[str]:
    """Copy the package's files to `folder`, for the Supabase CLI; returns the names of those that were not there.

    Raises `Conflict` that names a file which is there in another wording, before anything is written.
    """
    carried = package_migrations()
    present = {each.version: each for each in _read(folder)} if folder.is_dir() else {}
    for each in carried:
        there = present.get(each.version)
        if there is not None and (there.name, there.text) != (each.name, each.text):
            raise errors.Conflict(f"{folder / there.file} is not the file of this version of Penstock: nothing written")
    missing = [each for each in carried if each.version not in present]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        (folder / each.file).write_text(each.text, encoding="utf-8", newline="\n")
    return [each.file for each in missing]


def write_manifest() -> None:
    """Write `penstock/migrations/manifest.json` after the repository's files."""
    found = {each.stem: each.digest for each in _read(REPOSITORY, OURS)}
    MANIFEST.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


_LEDGER: Final = """
create schema if not exists supabase_migrations;
create table if not exists supabase_migrations.schema_migrations (
  version text not null primary key, statements text[], name text
)
"""
# Our own entries are the whole file, down to its last line end; the Supabase CLI's are trimmed statements: no digest.
_APPLIED: Final = """
select m.version, case
    when cardinality(m.statements) = 1 and right(m.statements[1], 1) = chr(10)
      then encode(sha256(convert_to(m.statements[1], 'UTF8')), 'hex')
  end
from supabase_migrations.schema_migrations as m
"""


def _applied(connection: Connection) -> dict[str, str | None]:
    """The versions that the database has, with the digest of the file where it is known."""
    if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() == (None,):
        return {}
    return dict(connection.execute(_APPLIED).fetchall())


def _refuse_unknown(wanted: list[Migration], applied: Mapping[str, str | None], folder: Path | None) -> None:
    known = {*applied, *(each.version for each in wanted)}
    if unknown := sorted(name for name in _declared if _version(name) not in known):
        where = f"in {folder}" if folder else "to be found: this is not the folder of a project"
        raise errors.SettingsError(f"{unknown[0]}.sql, on which a domain depends, is not {where}")


def _refuse_edited(migration: Migration, digest: str | None) -> None:
    if digest not in (None, migration.digest):
        raise errors.Conflict(
            f"{migration.file} has been edited since it was applied to this database: restore the file, or start from"
            " an empty database (locally: make clean)"
        )


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        connection.execute(migration.text.encode())
    except psycopg.Error as error:
        error.add_note(f"in migration {migration.file}")
        raise
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        (migration.version, migration.name, [migration.text]),
    )


def _project_migrations(folder: Path) -> list[Migration]:
    if found := _read(folder):
        return found
    reason = "holds no .sql file" if folder.is_dir() else "does not exist"
    raise errors.SettingsError(
        f"the migrations folder {folder} {reason}: `penstock migrations --to` that folder fills it"
    )


def _read(folder: Path, pattern: str = "*.sql") -> list[Migration]:
    """The files in order. Two of one version, or a name without one, are a `SettingsError`."""
    found: dict[str, Migration] = {}
    for path in sorted(folder.glob(pattern)):
        if not re.fullmatch(r"[0-9]+_.+", path.stem):
            raise errors.SettingsError(f"{path} is not named like 20261121150000_name.sql")
        each = Migration(_version(path.stem), path.stem.partition("_")[2], _text(path))
        if found.setdefault(each.version, each) is not each:
            raise errors.SettingsError(f"{folder} has two migrations of one version: {path.name} and another")
    return [*found.values()]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise errors.SettingsError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def _version(name: str) -> str:
    return name.partition("_")[0]


if __name__ == "__main__":
    write_manifest()
