"""docs/deploy.md's commands with the Supabase CLI, as far as they go without an account.

Into an empty database, and into that of a shop with tables and migrations of its own.

Databases of Debian's Postgres 15, as the role `postgres`, which is no superuser, as on the hosted platform.
"""

import re
import shlex
import sys
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest

from penstock import errors
from penstock.postgres import migrations
from penstock.postgres.migrations import REPOSITORY
from tests.real.clusters import Cluster
from tests.real.toolbox import PROJECT, run, supabase_cli

NEEDS_AN_ACCOUNT = ("login", "link", "functions deploy")
SHOPS_OWN = {
    "20240301093000_shop.sql": "create table public.orders (id bigint primary key, total numeric not null);\n"
    "create table public.customers (id bigint primary key);\ninsert into public.orders values (1, 9.50);\n",
    "20990101000000_newer.sql": "alter table public.orders add column note text;\n",
}


def blocks() -> list[str]:
    """The shell blocks of the section on Supabase: from the repository, and into a shop's project."""
    text = (PROJECT / "docs" / "deploy.md").read_text(encoding="utf-8")
    section = text.partition("\n## 1. Supabase")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def follow(block: str, folder: Path, dsn: str) -> str:
    """Run what needs no account; what it said. `--remote` alone means the linked project: here it is a database."""
    said, ran = "", 0
    for line in block.splitlines():
        match shlex.split(line, comments=True):
            case ["npx", "supabase@3", *arguments]:
                if not " ".join(arguments).startswith(NEEDS_AN_ACCOUNT):
                    assert "--remote" in arguments
                    said += demand(supabase(folder, dsn, *arguments))
                    ran += 1
            case ["penstock", *arguments]:
                said += demand(penstock(folder, dsn, *arguments))
                ran += 1
            case other:
                pytest.fail(f"what is {other}?")
    assert ran
    return said


def supabase(folder: Path, dsn: str, *arguments: str) -> CompletedProcess[str]:
    given = [f"--remote={dsn}" if each == "--remote" else each for each in arguments]
    environment = {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
    return run([supabase_cli(), *given, "--workdir", folder], folder=folder, environment=environment)


def penstock(folder: Path, dsn: str, *arguments: str) -> CompletedProcess[str]:
    environment = {"DATABASE_URL": dsn, "PENSTOCK_ENV": "local", "PYTHONPATH": str(PROJECT)}
    return run([sys.executable, "-m", "penstock.cli", *arguments], folder=folder, environment=environment)


def demand(done: CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def dsn(supabase_cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """An empty database of the role `postgres`."""
    name = re.sub(r"\W", "_", request.node.name)[:60]
    with supabase_cluster.connect() as connection:
        connection.execute(f"create database {name} owner postgres".encode())
    return supabase_cluster.dsn(name, user="postgres")


@pytest.fixture
def shop(tmp_path: Path, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shop's project with migrations of its own, which it has pushed, and no domain."""
    monkeypatch.setattr(migrations, "_declared", {})
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    (folder.parent / "config.toml").write_text('project_id = "shop"\n')
    for name, text in SHOPS_OWN.items():
        (folder / name).write_text(text)
    demand(supabase(tmp_path, dsn, "db", "push", "--remote", "--yes"))
    return tmp_path


def test_the_repository_into_an_empty_database(dsn: str) -> None:
    from_repository, _ = blocks()
    assert "Applying migration" in follow(from_repository, PROJECT, dsn)
    assert "up to date" in follow(from_repository, PROJECT, dsn)
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert migrations.migration_fault(connection) is None
        assert migrations.migrate(connection, folder=REPOSITORY) == []


def test_into_a_shop_with_tables_and_migrations_of_its_own(shop: Path, dsn: str) -> None:
    _, into_a_shop = blocks()
    said = follow(into_a_shop, shop, dsn)
    assert said.count("would apply ") == said.count("Applying migration") == len(migrations.package_migrations())
    again = follow(into_a_shop, shop, dsn)
    assert "nothing to apply" in again
    assert "up to date" in again
    assert demand(penstock(shop, dsn, "migrate")) == "nothing to apply\n"
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute("select id, total, note from public.orders").fetchall() == [(1, 9.5, None)]
        versions = connection.execute("select version from supabase_migrations.schema_migrations").fetchall()
        assert {f"{version}" for (version,) in versions} > {name.partition("_")[0] for name in SHOPS_OWN}
        assert migrations.migration_fault(connection) is None


def test_what_is_in_the_way_is_told_before_the_push(shop: Path, dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table public.event_store (id bigint); create schema ops; create table ops.jobs ()")
    done = penstock(shop, dsn, "migrate", "--dry-run")
    assert done.returncode != 0
    for name in ("table public.event_store", "the schema ops has ops.jobs", "PENSTOCK_PUBLIC_SCHEMA"):
        assert name in done.stderr


def test_a_shop_whose_names_are_taken_pushes_into_another_schema(
    shop: Path, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("create table public.event_store (id bigint)")
        monkeypatch.setenv("PENSTOCK_PUBLIC_SCHEMA", "penstock_api")
        _, into_a_shop = blocks()
        follow(into_a_shop, shop, dsn)
        assert migrations.migration_fault(connection) is None
        assert connection.execute("select * from public.event_store").fetchall() == []
        assert connection.execute("select * from penstock_api.event_store").fetchall() == []


def test_an_older_push_is_refused_in_one_sentence(shop: Path, dsn: str) -> None:
    demand(penstock(shop, dsn, "migrations", "--to", "supabase/migrations"))
    [file] = (shop / "supabase" / "migrations").glob("*_penstock_append_imported_events.sql")
    file.write_text(
        file.read_text().replace("create function penstock.append_new_streams", "create function penstock.old")
    )
    text = file.read_text()
    file.write_text(text[: text.index("comment on function penstock.append_new_streams")])
    demand(supabase(shop, dsn, "db", "push", "--remote", "--include-all", "--yes"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        told = migrations.migration_fault(connection)
        assert told
        assert told.startswith(f"{file.name} differs from what this database was given under that version")
        with pytest.raises(errors.Conflict, match=file.name):
            migrations.migrate(connection)
    for command in ("migrate", "doctor"):
        done = penstock(shop, dsn, command)
        assert done.returncode != 0
        assert told in done.stdout + done.stderr


def test_a_migration_that_is_only_marked_as_applied_is_not_trusted(shop: Path, dsn: str) -> None:
    demand(penstock(shop, dsn, "migrations", "--to", "supabase/migrations"))
    demand(supabase(shop, dsn, "db", "push", "--remote", "--include-all", "--yes"))
    first = migrations.package_migrations()[0]
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "update supabase_migrations.schema_migrations set statements = null where version = %s", (first.version,)
        )
        told = migrations.migration_fault(connection)
        assert told
        assert f"supabase migration repair --status applied {first.version}" in told
        demand(supabase(shop, dsn, "migration", "repair", "--status", "applied", first.version, "--remote", "--yes"))
        assert migrations.migration_fault(connection) is None
