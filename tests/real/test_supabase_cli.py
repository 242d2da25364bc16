"""The Supabase CLI against a database as a hosted project has it: push, history, lint and advisors.

Runs on Debian's Postgres 15 as the role `postgres`, which is no superuser there, as on the hosted platform.
"""

import json
from collections.abc import Iterator

import psycopg
import pytest

from penstock.postgres.migrations import REPOSITORY, migrate, pending_migrations
from tests.real.catalog import SCHEMAS, catalog_of, differences
from tests.real.clusters import Cluster
from tests.real.supabase import VERSIONS, cli, demand


@pytest.fixture
def hosted(hosted_dsn: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(hosted_dsn, autocommit=True) as connection:
        yield connection


def test_push_applies_every_migration_as_a_role_that_is_no_superuser(hosted: psycopg.Connection) -> None:
    assert hosted.execute("select current_user, rolsuper from pg_roles where rolname = current_user").fetchone() == (
        "postgres",
        False,
    )
    rows = hosted.execute("select version from supabase_migrations.schema_migrations order by 1").fetchall()
    assert [version for (version,) in rows] == VERSIONS


def test_push_makes_the_private_bucket_of_imports_and_no_policy(hosted: psycopg.Connection) -> None:
    rows = hosted.execute("select id, public, file_size_limit from storage.buckets").fetchall()
    assert rows == [("imports", False, None)]
    assert hosted.execute("select from pg_policies where schemaname = 'storage'").rowcount == 0


def test_a_second_push_is_a_no_op(hosted_dsn: str) -> None:
    said = demand("db", "push", f"--remote={hosted_dsn}", "--skip-vault", "--yes")
    assert "up to date" in said
    assert "Applying migration" not in said


def test_migration_list_shows_each_version_on_both_sides(hosted_dsn: str) -> None:
    said = demand("migration", "list", f"--remote={hosted_dsn}")
    for version in VERSIONS:
        assert said.count(version) == 2, said


def test_the_projects_own_command_goes_on_where_the_push_stopped(hosted: psycopg.Connection) -> None:
    assert pending_migrations(hosted) == []
    assert migrate(hosted, folder=REPOSITORY) == []


def test_a_push_after_the_projects_own_command_is_a_no_op(supabase_cluster: Cluster, hosted_dsn: str) -> None:
    with supabase_cluster.connect() as connection:
        connection.execute("create database migrated_by_penstock owner postgres")
    remote = supabase_cluster.dsn("migrated_by_penstock", user="postgres")
    with psycopg.connect(remote, autocommit=True) as connection:
        migrate(connection, folder=REPOSITORY)
    said = demand("db", "push", f"--remote={remote}", "--skip-vault", "--yes")
    assert "up to date" in said


def test_push_and_the_projects_own_command_make_the_same_catalog(
    supabase_cluster: Cluster, hosted: psycopg.Connection
) -> None:
    supabase_cluster.create_database("plain")
    with supabase_cluster.connect("plain") as connection:
        migrate(connection, folder=REPOSITORY)
        assert differences(catalog_of(connection), catalog_of(hosted)) == []


def test_lint_finds_nothing_in_any_schema(hosted_dsn: str) -> None:
    said = demand("db", "lint", f"--remote={hosted_dsn}", "--schema", ",".join(SCHEMAS), "--fail-on", "warning")
    assert "No schema errors found" in said
    for schema in SCHEMAS:
        assert f"Linting schema: {schema}" in said


def test_lint_would_see_a_wrong_function(hosted: psycopg.Connection, hosted_dsn: str) -> None:
    hosted.execute(
        "create function public.broken() returns void language plpgsql set search_path = ''"
        " as $$ begin perform missing from public.event_store; end $$"
    )
    try:
        done = cli("db", "lint", f"--remote={hosted_dsn}", "--schema", "public", "--fail-on", "warning")
        assert done.returncode != 0
        assert "broken" in done.stdout
    finally:
        hosted.execute("drop function public.broken()")


def test_advisors_warn_of_nothing(hosted_dsn: str) -> None:
    said = demand("db", "advisors", f"--remote={hosted_dsn}", "--level", "warn", "--fail-on", "warn")
    assert "No issues found" in said


def test_advisors_know_every_hint_below_a_warning(hosted_dsn: str) -> None:
    """Hints are judged one by one: an index that a fresh database has not used yet, a table without policies."""
    done = cli("db", "advisors", f"--remote={hosted_dsn}", "--level", "info", "--fail-on", "none")
    hints = json.loads(done.stdout[done.stdout.index("[\n") :])
    assert {hint["name"] for hint in hints} <= {"unused_index", "rls_enabled_no_policy"}


def test_advisors_would_see_an_open_table(hosted: psycopg.Connection, hosted_dsn: str) -> None:
    hosted.execute("create table public.open (id bigint primary key)")
    hosted.execute("grant select on public.open to anon")
    try:
        done = cli("db", "advisors", f"--remote={hosted_dsn}", "--level", "warn", "--fail-on", "warn")
        assert done.returncode != 0
        assert "rls_disabled_in_public" in done.stdout
    finally:
        hosted.execute("drop table public.open")
