"""Migrations: each applied once, by whoever comes first; nothing edited, missing or empty passes for applied."""

import json
import threading
from pathlib import Path

import psycopg
import pytest

from penstock import errors
from penstock.postgres import migrations, pool
from penstock.postgres.migrations import CARRIED, OURS, REPOSITORY
from tests import throwaway

PROBE = "20990101000000_probe"


@pytest.fixture(autouse=True)
def no_domain_is_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "_declared", {})


def folder_with(folder: Path, name: str, text: str) -> Path:
    (folder / f"{name}.sql").write_text(text)
    return folder


def test_migrations_are_applied_once(connection: psycopg.Connection) -> None:
    assert migrations.pending_migrations(connection, None) == []
    assert migrations.migration_fault(connection) is None
    assert migrations.missing_migrations(connection) == []
    assert migrations.migrate(connection, folder=None) == []


def test_racing_migrations_apply_each_once(connection: psycopg.Connection, database_url: str, tmp_path: Path) -> None:
    connection.execute("create table public.probe (n integer)")
    folder = folder_with(tmp_path, PROBE, "insert into public.probe values (1); select pg_sleep(0.2);")
    applied: list[list[str]] = []

    def run() -> None:
        with pool.connect(database_url) as own:
            applied.append(migrations.migrate(own, folder=folder))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, applied)) == [0, 0, 1]
    assert connection.execute("select count(*) from public.probe").fetchone() == (1,)


def test_a_failing_migration_leaves_nothing_behind(connection: psycopg.Connection, tmp_path: Path) -> None:
    folder = folder_with(tmp_path, PROBE, "create table public.half (n integer); select 1 / 0;")
    with pytest.raises(errors.InvalidInput, match="division by zero"):
        migrations.migrate(connection, folder=folder)
    assert connection.execute("select to_regclass('public.half')").fetchone() == (None,)
    assert migrations.pending_migrations(connection, folder) == [PROBE]


def test_a_migration_that_was_edited_after_it_was_applied_is_refused_by_name(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, PROBE, "create table public.probe (n integer);\n")
    assert migrations.migrate(connection, folder=folder) == [PROBE]
    assert migrations.migrate(connection, folder=folder) == []
    folder_with(tmp_path, PROBE, "create table public.probe (n bigint);\n")
    with pytest.raises(errors.Conflict, match=rf"^{PROBE}\.sql differs from what this database was given"):
        migrations.migrate(connection, folder=folder)


def test_the_timezone_of_the_settings_reaches_sql(connection: psycopg.Connection) -> None:
    migrations.migrate(connection, timezone="Europe/Paris")
    assert connection.execute("select penstock.business_timezone()").fetchone() == ("Europe/Paris",)


def test_the_packages_migrations_apply_alone_and_a_projects_join_them_in_order(tmp_path: Path) -> None:
    ours = [each.stem for each in migrations.package_migrations()]
    between = f"{int(ours[-1].partition('_')[0]) - 1}_between"
    folder_with(tmp_path, between, "create table public.between ();\n")
    with throwaway.fresh_database() as url, pool.connect(url) as connection:
        assert migrations.migrate(connection, folder=tmp_path) == [*ours[:-1], between, ours[-1]]
        assert migrations.pending_migrations(connection, tmp_path) == []


def test_the_copied_files_of_the_package_count_once(connection: psycopg.Connection, tmp_path: Path) -> None:
    migrations.write_migrations(tmp_path)
    assert migrations.migrate(connection, folder=tmp_path) == []


@pytest.mark.parametrize(("make", "reason"), [(True, "holds no .sql file"), (False, "does not exist")])
def test_a_missing_or_empty_folder_is_an_error(
    connection: psycopg.Connection, tmp_path: Path, make: bool, reason: str
) -> None:
    folder = tmp_path / "migrations"
    if make:
        folder.mkdir()
    for asked in (migrations.migrate, migrations.pending_migrations):
        with pytest.raises(errors.SettingsError, match=reason):
            asked(connection, folder=folder)


def test_an_installation_without_migrations_is_an_error(
    connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CARRIED", "REPOSITORY"):
        monkeypatch.setattr(migrations, name, tmp_path)
    monkeypatch.setattr(migrations, "MANIFEST", tmp_path / "manifest.json")
    with pytest.raises(errors.SettingsError, match="has no migrations"):
        migrations.migrate(connection)
    with pytest.raises(errors.SettingsError, match="has no migrations"):
        migrations.pending_migrations(connection)


def test_without_the_files_the_manifest_says_what_is_missing(
    connection: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = [each.stem for each in migrations.package_migrations()]
    monkeypatch.setattr(migrations, "REPOSITORY", tmp_path)
    assert migrations.pending_migrations(connection) == []
    connection.execute("delete from supabase_migrations.schema_migrations where version = %s", (ours[3].split("_")[0],))
    assert migrations.pending_migrations(connection) == [ours[3]]
    connection.execute("drop schema supabase_migrations cascade")
    assert migrations.pending_migrations(connection) == ours


def test_what_a_domain_depends_on_is_missed_without_any_file(connection: psycopg.Connection, tmp_path: Path) -> None:
    migrations.declare([PROBE])
    assert migrations.pending_migrations(connection) == [PROBE]
    with pytest.raises(errors.SettingsError, match=rf"{PROBE}\.sql, on which a domain depends, is not"):
        migrations.migrate(connection)
    folder_with(tmp_path, PROBE, "create table public.probe (n integer);\n")
    assert migrations.migrate(connection, folder=tmp_path) == [PROBE]
    assert migrations.pending_migrations(connection) == []


def test_a_database_of_another_wording_is_named(connection: psycopg.Connection) -> None:
    first = migrations.package_migrations()[0]
    connection.execute(
        "update supabase_migrations.schema_migrations set statements = %s where version = %s",
        (["select 1;\n"], first.version),
    )
    fault = migrations.migration_fault(connection)
    assert fault
    assert fault.startswith(f"{first.file} differs from what this database was given under that version")
    with pytest.raises(errors.Conflict) as refused:
        migrations.migrate(connection)
    assert str(refused.value) == fault


def test_what_the_supabase_cli_keeps_of_a_file_is_known_as_that_file(connection: psycopg.Connection) -> None:
    """It splits at semicolons and trims; `tests/real/test_supabase_push.py` has the real one."""
    for each in migrations.package_migrations():
        statements = [part.strip() for part in each.text.split(";\n") if part.strip()]
        assert len(statements) > 0
        connection.execute(
            "update supabase_migrations.schema_migrations set statements = %s where version = %s",
            (statements, each.version),
        )
    assert migrations.migration_fault(connection) is None
    assert migrations.migrate(connection) == []


@pytest.mark.parametrize("statements", [None, [], [" ;\n"]])
def test_a_migration_without_its_text_is_not_trusted(
    connection: psycopg.Connection, statements: list[str] | None
) -> None:
    first = migrations.package_migrations()[0]
    connection.execute(
        "update supabase_migrations.schema_migrations set statements = %s where version = %s",
        (statements, first.version),
    )
    told = f"{first.file} is marked as applied in this database, but the ledger does not say what was applied: if it"
    assert str(migrations.migration_fault(connection)).startswith(told)
    with pytest.raises(errors.Conflict, match="is marked as applied"):
        migrations.migrate(connection)


def test_what_others_did_with_a_projects_own_file_is_theirs_to_know(
    connection: psycopg.Connection, tmp_path: Path
) -> None:
    folder = folder_with(tmp_path, PROBE, "create table public.probe (n integer);\n")
    connection.execute(
        "insert into supabase_migrations.schema_migrations (version, name, statements) values (%s, 'probe', %s)",
        (PROBE.partition("_")[0], ["create table public.probe (n bigint)"]),
    )
    assert migrations.migrate(connection, folder=folder) == []


def test_racing_installations_into_an_empty_database_apply_each_once() -> None:
    applied: list[int] = []

    def run(url: str) -> None:
        with pool.connect(url) as own:
            applied.append(len(migrations.migrate(own)))

    with throwaway.fresh_database() as url:
        threads = [threading.Thread(target=run, args=(url,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(applied) == [0, 0, 0, len(migrations.package_migrations())]


def test_one_version_with_two_contents_is_an_error(connection: psycopg.Connection, tmp_path: Path) -> None:
    first = migrations.package_migrations()[0]
    folder_with(tmp_path, first.stem, "select 1;\n")
    with pytest.raises(errors.SettingsError, match=rf"{first.file} differs from {first.file}"):
        migrations.migrate(connection, folder=tmp_path)
    folder_with(tmp_path, first.stem, first.text)
    folder_with(tmp_path, f"{first.version}_twin", first.text)
    with pytest.raises(errors.SettingsError, match="two migrations of one version"):
        migrations.migrate(connection, folder=tmp_path)


def test_a_file_without_a_version_is_an_error(connection: psycopg.Connection, tmp_path: Path) -> None:
    folder_with(tmp_path, "tickets", "select 1;\n")
    with pytest.raises(errors.SettingsError, match=r"tickets\.sql is not named like"):
        migrations.migrate(connection, folder=tmp_path)


def test_a_file_in_another_encoding_is_an_error(connection: psycopg.Connection, tmp_path: Path) -> None:
    (tmp_path / f"{PROBE}.sql").write_bytes("-- Grüße\n".encode("latin-1"))
    with pytest.raises(errors.SettingsError, match=rf"{PROBE}\.sql is not UTF-8: .* at byte 5"):
        migrations.migrate(connection, folder=tmp_path)


def test_the_files_are_copied_once_and_an_edited_one_is_refused_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "supabase" / "migrations"
    files = [each.file for each in migrations.package_migrations()]
    assert migrations.write_migrations(folder) == files
    assert migrations.write_migrations(folder) == []
    assert [path.read_bytes() for path in sorted(folder.iterdir())] == [
        path.read_bytes() for path in sorted(REPOSITORY.glob(OURS))
    ]
    (folder / files[1]).write_text("select 1;\n")
    (folder / files[2]).unlink()
    with pytest.raises(errors.Conflict, match=rf"{files[1]} is not the file"):
        migrations.write_migrations(folder)
    assert not (folder / files[2]).exists()


def test_the_committed_manifest_is_that_of_the_files() -> None:
    listed = json.loads((CARRIED / "manifest.json").read_text())
    assert listed == {each.stem: each.digest for each in migrations.package_migrations()}, "run `make manifest`"
