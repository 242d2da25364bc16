"""The migration that makes Storage's bucket, on plain Postgres with and without what Storage has there."""

import psycopg
import pytest

from penstock.postgres.pool import MIGRATIONS
from tests import throwaway

MIGRATION = (MIGRATIONS / "20261121000520_penstock_imports_bucket.sql").read_bytes()
STORAGE = """
create schema storage;
grant usage on schema storage to anon, authenticated, service_role;
create table storage.buckets (
  id text primary key, name text not null unique, public boolean default false, file_size_limit bigint,
  allowed_mime_types text[]
);
alter table storage.buckets enable row level security;
grant all on storage.buckets to anon, authenticated, service_role;
"""


@pytest.fixture
def storage(connection: psycopg.Connection) -> psycopg.Connection:
    connection.execute(STORAGE)
    return connection


def buckets(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute("select id, name, public, file_size_limit from storage.buckets").fetchall()


def test_all_migrations_together_make_the_bucket_where_storage_is() -> None:
    with throwaway.fresh_database() as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create schema storage")
            connection.execute("create table storage.buckets (id text primary key, name text, public boolean)")
        throwaway.migrate(url)
        with psycopg.connect(url) as connection:
            assert connection.execute("select * from storage.buckets").fetchall() == [("imports", "imports", False)]


def test_the_bucket_is_private_and_made_once(storage: psycopg.Connection) -> None:
    storage.execute(MIGRATION)
    storage.execute(MIGRATION)
    assert buckets(storage) == [("imports", "imports", False, None)]


@pytest.mark.parametrize("role", ["anon", "authenticated"])
def test_no_policy_shows_the_bucket_to_the_apis_roles(storage: psycopg.Connection, role: str) -> None:
    storage.execute(MIGRATION)
    assert storage.execute("select from pg_policies where schemaname = 'storage'").rowcount == 0
    with storage.transaction():
        storage.execute(f"set local role {role}")
        assert buckets(storage) == []
    with storage.transaction():
        storage.execute("set local role service_role")
        assert buckets(storage) != []


def test_a_private_bucket_made_by_hand_stays_as_it_is(storage: psycopg.Connection) -> None:
    storage.execute("insert into storage.buckets values ('imports', 'imports', false, 1000)")
    storage.execute(MIGRATION)
    assert buckets(storage) == [("imports", "imports", False, 1000)]


def test_a_public_bucket_of_that_name_is_refused(storage: psycopg.Connection) -> None:
    storage.execute("insert into storage.buckets values ('imports', 'imports', true)")
    with pytest.raises(psycopg.errors.RaiseException, match="public bucket named imports"):
        storage.execute(MIGRATION)


def test_plain_postgres_has_no_storage_and_gets_none(connection: psycopg.Connection) -> None:
    connection.execute(MIGRATION)
    assert connection.execute("select to_regnamespace('storage')").fetchone() == (None,)
