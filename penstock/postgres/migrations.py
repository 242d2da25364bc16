"""Migrations: the SQL files that a database needs, which of them it has, and applying the rest.

The package carries its own (`…_penstock_….sql`): in a wheel in `penstock/migrations`, in the repository straight from
`supabase/migrations`, where they are written. A project adds the files of its folder. All share one ledger, the one
of the Supabase CLI, so that either may go on where the other stopped, and one order, that of their versions.

Where no file is deployed, `penstock/migrations/manifest.json` still says which ones there must be, with the digest
of each. From 0.2.0 on a file that was released never changes: migrations are only added.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

import psycopg

from penstock import errors, settings
from penstock.postgres import public_schema
from penstock.postgres.applied import Applied, applied_migrations, digest_fault, digest_of, lock_ledger, schema_fault
from penstock.postgres.collisions import refuse_collisions
from penstock.postgres.former_layout import refuse_former_layout
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

CARRIED: Final = Path(__file__).parents[1] / "migrations"
MANIFEST: Final = CARRIED / "manifest.json"
REPOSITORY: Final = Path(__file__).parents[2] / "supabase" / "migrations"
OURS: Final = "*_penstock_*.sql"

_declared: dict[str, str | None] = {}


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
        """Of the text in `public`: a copy may name another schema already."""
        return digest_of(public_schema.move_back(self.text, settings.public_schema()))

    def moved(self) -> str:
        """The text as it is applied, with what is ours of `public` where the setting says."""
        move = public_schema.move_package if fnmatch(self.file, OURS) else public_schema.move
        return move(self.text, settings.public_schema())


def declare(names: Iterable[str] | Mapping[str, str]) -> None:
    """Say which migrations an installed domain depends on, as file names without `.sql`, maybe with their digests."""
    _declared.update(names if isinstance(names, Mapping) else dict.fromkeys(names))


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
        if found.setdefault(own.version, own).digest != own.digest:
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
    """Apply what is missing of `migrations(folder)`, all in one transaction; returns their names.

    Raises `Conflict`, with nothing written, if the database has other objects of their names, if it was given another
    text of one of them, or if Penstock is in another schema than the settings say; `SettingsError` if a domain depends
    on a file that is neither there nor applied.
    """
    wanted = migrations(folder)
    with translate_errors():
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(hashtextextended('penstock migrate', 0))")
            missing = _checked(connection, wanted, folder)
            lock_ledger(connection)
            applied = applied_migrations(connection)  # the Supabase CLI does not take our lock
            done = [each for each in missing if each.version not in applied]
            for migration in done:
                _apply(connection, migration)
        connection.execute(
            "update penstock.configuration set timezone = %(zone)s, earliest_day = %(day)s"
            " where (timezone, earliest_day) <> (%(zone)s, %(day)s)",
            {"zone": timezone, "day": earliest_day},
        )
        return [each.stem for each in done]


def missing_migrations(connection: Connection, folder: Path | None = None) -> list[str]:
    """What `migrate` would apply, by name. Only reads, and raises what `migrate` would raise before it writes."""
    with translate_errors(), connection.transaction():
        return [each.stem for each in _checked(connection, migrations(folder), folder)]


def pending_migrations(connection: Connection, folder: Path | None = None) -> list[str]:
    """The names of the migrations that the database lacks. Needs no file but the manifest."""
    with translate_errors():
        return _pending(applied_migrations(connection), folder)


def migration_fault(connection: Connection) -> str | None:
    """One sentence on what keeps this database from being one of this version, and what to do; None if it is one.

    Needs no file but the manifest, so that it can be asked where the app is deployed.
    """
    with translate_errors():
        applied = applied_migrations(connection)
        if pending := _pending(applied):
            return f"{len(pending)} migrations are not applied, the first is {pending[0]}: penstock migrate"
        known = [*manifest().items(), *((name, digest) for name, digest in _declared.items() if digest)]
        faults = (digest_fault(f"{name}.sql", applied[_version(name)], digest) for name, digest in known)
        return schema_fault(connection) or next(filter(None, faults), None)


def manifest() -> Mapping[str, str]:
    """The package's migrations by name, with the SHA-256 of each."""
    try:
        return {each.stem: each.digest for each in package_migrations()}
    except errors.SettingsError:
        if not MANIFEST.exists():
            raise
        return read_manifest(MANIFEST)


def read_manifest(file: Path) -> Mapping[str, str]:
    """The migrations that a file names, with the digest of each: what `Domain.migrations` takes."""
    listed: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return listed


def write_migrations(folder: Path) -> list[str]:
    """Copy the package's files to `folder`, for the Supabase CLI; returns the names of those that were not there.

    They say the schema of `PENSTOCK_PUBLIC_SCHEMA` where the package's own say `public`.

    Raises `Conflict` that names a file which is there in another wording, before anything is written.
    """
    carried = package_migrations()
    present = {each.version: each for each in _read(folder)} if folder.is_dir() else {}
    for each in carried:
        there = present.get(each.version)
        if there is not None and (there.name, there.text) != (each.name, each.moved()):
            raise errors.Conflict(f"{folder / there.file} is not the file of this version of Penstock: nothing written")
    missing = [each for each in carried if each.version not in present]
    folder.mkdir(parents=True, exist_ok=True)
    for each in missing:
        (folder / each.file).write_text(each.moved(), encoding="utf-8", newline="\n")
    return [each.file for each in missing]


def write_manifest(file: Path, folder: Path, pattern: str) -> None:
    """Write the names and digests of a folder's files of that pattern, for where the files are not deployed."""
    found = {each.stem: each.digest for each in _read(folder, pattern)}
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _pending(applied: Mapping[str, Applied], folder: Path | None = None) -> list[str]:
    own = [] if folder is None else _project_migrations(folder)
    wanted = {*manifest(), *_declared, *(each.stem for each in own)}
    return sorted(name for name in wanted if _version(name) not in applied)


def _checked(connection: Connection, wanted: list[Migration], folder: Path | None) -> list[Migration]:
    """Those that are missing, provided that nothing is in the way."""
    refuse_former_layout(connection)
    applied = applied_migrations(connection)
    _refuse_unknown(wanted, applied, folder)
    if fault := schema_fault(connection):
        raise errors.Conflict(fault)
    for each in wanted:
        if each.version in applied:
            _refuse_edited(each, applied[each.version])
    missing = [each for each in wanted if each.version not in applied]
    had = [each.text for each in wanted if each.version in applied]
    refuse_collisions(connection, [each.text for each in missing if _is_ours(each)], had)
    return missing


def _is_ours(migration: Migration) -> bool:
    """A file of the package or of an installed domain: not one of the project that Penstock knows nothing of."""
    return fnmatch(migration.file, OURS) or migration.stem in _declared


def _refuse_unknown(wanted: list[Migration], applied: Mapping[str, Applied], folder: Path | None) -> None:
    known = {*applied, *(each.version for each in wanted)}
    if unknown := sorted(name for name in _declared if _version(name) not in known):
        where = f"in {folder}" if folder else "to be found: this is not the folder of a project"
        raise errors.SettingsError(f"{unknown[0]}.sql, on which a domain depends, is not {where}")


def _refuse_edited(migration: Migration, applied: Applied) -> None:
    """A project's own file is known to be edited only where `penstock migrate` applied it."""
    if not (_is_ours(migration) or applied.whole):
        return
    if fault := digest_fault(migration.file, applied, migration.digest):
        raise errors.Conflict(fault)


def _apply(connection: Connection, migration: Migration) -> None:
    try:
        connection.execute(migration.moved().encode())
    except psycopg.Error as error:
        error.add_note(f"in migration {migration.file}")
        raise
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, %s, %s)",
        (migration.version, migration.name, [migration.moved()]),
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
    write_manifest(MANIFEST, REPOSITORY, OURS)
    for domain in sys.argv[1:]:
        write_manifest(Path(domain, "migrations.json"), REPOSITORY, f"*_{domain}_*.sql")
