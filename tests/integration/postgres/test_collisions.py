"""Installing into a database that has tables of its own: what is in the way is told at once, and nothing is written."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock import errors
from penstock.postgres import migrations, pool
from penstock.postgres.collisions import Created, created_by
from penstock.postgres.migrations import REPOSITORY
from penstock.postgres.pool import Connection
from penstock.postgres.public_schema import PACKAGE_NAMES
from tests import throwaway
from tests.throwaway import EVERYTHING

OF_SOMEBODY_ELSE = """
create table public.orders (id bigint primary key, note text);
create table public.customers (id bigint primary key);
create view public.products as select 1 as id;
insert into public.orders values (1, 'mine');
create function public.append_event(text) returns text language sql as $$ select $1 $$;
create schema analytics;
create table analytics.event_store ();
create schema staging;
"""
SNAPSHOT = """
select 'relation', c.oid::regclass::text, c.xmin::text from pg_class as c where c.oid >= 16384
union all select 'function', p.oid::regprocedure::text, p.xmin::text from pg_proc as p where p.oid >= 16384
union all select 'type', t.oid::regtype::text, t.xmin::text from pg_type as t where t.oid >= 16384
union all select 'schema', n.nspname, n.xmin::text || coalesce(n.nspacl::text, '') from pg_namespace as n
order by 1, 2
"""


@pytest.fixture
def shop() -> Iterator[Connection]:
    """A database with tables of its own, none of Penstock's."""
    with throwaway.fresh_database() as url, pool.connect(url) as connection:
        connection.execute(OF_SOMEBODY_ELSE)
        yield connection


def test_a_database_with_tables_of_its_own_keeps_them(shop: Connection) -> None:
    assert migrations.missing_migrations(shop) == [each.stem for each in migrations.package_migrations()]
    migrations.migrate(shop)
    assert shop.execute("select * from public.orders").fetchall() == [(1, "mine")]
    assert shop.execute("select * from public.products").fetchall() == [(1,)]
    assert shop.execute("select public.append_event('theirs')").fetchone() == ("theirs",)
    assert migrations.migration_fault(shop) is None


def test_all_that_is_in_the_way_is_told_at_once_and_nothing_is_written(shop: Connection) -> None:
    shop.execute("""
        create view public.event_store as select 1 as id;
        create domain public.appended as text;
        create function public.read_stream(a text, b text, c integer, d integer default 1) returns text
          language sql as $$ select a $$;
        create function public.read_events(text) returns text language sql as $$ select $1 $$;
        create sequence public.current_events;
        create schema raw; create table raw.files (); create type raw.mood as enum ('good');
        create function raw.load() returns void language sql as '';
        create schema ops; create table ops.runs ();
    """)
    before = shop.execute(SNAPSHOT).fetchall()
    for ask in (migrations.migrate, migrations.missing_migrations):
        with pytest.raises(errors.Conflict) as refused:
            ask(shop)
        assert str(refused.value) == (
            "nothing was written to this database: it has objects of the names that Penstock needs in public:"
            " type public.appended, view public.current_events, table public.event_store,"
            " function public.read_stream(text, text, integer, integer);"
            " PENSTOCK_PUBLIC_SCHEMA=<another schema> moves what Penstock would put there;"
            " the schema ops has ops.runs, and Penstock needs it for itself: rename it, or give Penstock a database of"
            " its own;"
            " the schema raw has raw.files, raw.load(), raw.mood, and Penstock needs it for itself: rename it, or give"
            " Penstock a database of its own"
        )
    assert shop.execute(SNAPSHOT).fetchall() == before


def test_a_ledger_of_an_early_cli_is_gone_on_with(shop: Connection) -> None:
    shop.execute("create schema supabase_migrations; create table supabase_migrations.schema_migrations (version text)")
    shop.execute("alter table supabase_migrations.schema_migrations add primary key (version)")
    shop.execute("insert into supabase_migrations.schema_migrations values ('20220101000000')")
    assert len(migrations.migrate(shop)) == len(migrations.package_migrations())
    assert migrations.migration_fault(shop) is None
    assert migrations.migrate(shop) == []


def test_the_message_is_right_about_the_schema_that_is_set(shop: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PUBLIC_SCHEMA", "analytics")
    with pytest.raises(errors.Conflict, match=r"needs in analytics: table analytics\.event_store; PENSTOCK_PUBLIC_SCH"):
        migrations.migrate(shop)


def test_a_name_that_a_later_migration_replaces_is_ours(shop: Connection, tmp_path: Path) -> None:
    migrations.migrate(shop)
    later = "29990101000000_penstock_later"
    text = "drop view public.current_events cascade;\ncreate view public.current_events as select 1 as n;\n"
    (tmp_path / f"{later}.sql").write_text(text)
    assert migrations.missing_migrations(shop, tmp_path) == [later]
    shop.execute("create table public.newer ()")
    (tmp_path / f"{later}.sql").write_text("create table public.newer ();\n")
    with pytest.raises(errors.Conflict, match=r"needs in public: table public\.newer;"):
        migrations.missing_migrations(shop, tmp_path)


def test_a_file_of_the_project_may_be_about_tables_that_are_there(shop: Connection, tmp_path: Path) -> None:
    (tmp_path / "29990101000000_own.sql").write_text(
        "create table if not exists public.orders (id bigint);\nalter table public.orders add column paid boolean;\n"
    )
    assert migrations.migrate(shop, folder=tmp_path)[-1] == "29990101000000_own"


def test_what_migrations_say_that_they_create_is_what_the_catalog_has() -> None:
    """Else the check looks for names that nobody has. Of types only those that are no table's."""
    files = sorted(REPOSITORY.glob("*.sql"))
    said = {each for path in files for each in created_by(path.read_text())}
    with throwaway.cloned_database(EVERYTHING) as url, psycopg.connect(url) as connection:
        schemas = sorted({each.schema for each in said})
        found = connection.execute(_CREATED, {"schemas": schemas}).fetchall()
    kinds = {"r": "table", "v": "view", "m": "materialized view", "S": "sequence", "c": "type", "f": "function"}
    there = {Created(schema, name, kinds[kind], tuple(types)) for schema, name, kind, types in found}
    expected = {_with_types_by_name(each) for each in said if each.kind != "schema"}
    assert expected - there == set()
    assert {each for each in there - expected if each.kind != "sequence"} == set()
    assert {each.schema for each in said if each.kind == "schema"} >= {"raw", "staging", "ops", "penstock"}


def test_the_names_of_the_package_in_public_are_those_that_its_migrations_create() -> None:
    said = {each for migration in migrations.package_migrations() for each in created_by(migration.text)}
    assert {each.name for each in said if each.schema == "public" and each.name} == PACKAGE_NAMES


_CREATED = """
select n.nspname, c.relname, c.relkind::text, array[]::text[]
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = any(%(schemas)s) and c.relkind in ('r', 'v', 'm', 'S', 'c')
union all
select n.nspname, p.proname, 'f', array(
  select format_type(a.type, null) from unnest(p.proargtypes::oid[]) with ordinality as a (type, place) order by a.place
)
from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
where n.nspname = any(%(schemas)s)
"""
_ALIASES = {"timestamptz": "timestamp with time zone", "timestamptz[]": "timestamp with time zone[]"}


def _with_types_by_name(created: Created) -> Created:
    return Created(
        created.schema, created.name, created.kind, tuple(_ALIASES.get(each, each) for each in created.types)
    )
