"""A database of before is refused and keeps all that it has; its events can move as docs/deploy.md says."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock import errors
from penstock.event_store import NewEvent, append, read_stream
from penstock.postgres import migrations, pool
from tests import throwaway

DEPLOY = Path(__file__).parents[3] / "docs" / "deploy.md"
FORMER = """
create schema supabase_migrations;
create table supabase_migrations.schema_migrations (version text not null primary key, statements text[], name text);
insert into supabase_migrations.schema_migrations (version, name, statements) values
  ('20261121000000', 'roles_and_schemas', array['-- before']), ('20261121000600', 'read_models', array['-- before']);
create table public.orders (order_id text primary key);
insert into public.orders values ('kept');
"""
OBJECTS = "select oid::regclass::text from pg_class where relnamespace <> 'pg_toast'::regnamespace order by 1"


@pytest.fixture
def former() -> Iterator[psycopg.Connection]:
    with throwaway.fresh_database() as url, pool.connect(url) as connection:
        connection.execute(FORMER.encode())
        yield connection


def test_a_database_of_before_is_refused_in_one_sentence(former: psycopg.Connection) -> None:
    with pytest.raises(errors.Conflict) as caught:
        migrations.migrate(former)
    assert "layout of before" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value)


def test_a_refused_database_has_all_that_it_had_and_nothing_else(former: psycopg.Connection) -> None:
    before = former.execute(OBJECTS).fetchall()
    with pytest.raises(errors.Conflict):
        migrations.migrate(former)
    assert former.execute(OBJECTS).fetchall() == before
    assert former.execute("select order_id from public.orders").fetchall() == [("kept",)]
    assert former.execute("select count(*) from supabase_migrations.schema_migrations").fetchone() == (2,)


def test_the_refusal_names_a_section_that_the_docs_have(former: psycopg.Connection) -> None:
    with pytest.raises(errors.Conflict) as caught:
        migrations.migrate(former)
    named = re.search(r"docs/deploy\.md, ([^;]+);", str(caught.value))
    assert named
    assert f"## {named[1]}\n" in DEPLOY.read_text(encoding="utf-8")


def test_events_that_moved_as_the_docs_say_are_read_and_appended_to(connection: psycopg.Connection) -> None:
    """`pg_restore` inserts the rows as the owner, positions included; here `insert` stands in for it."""
    section = DEPLOY.read_text(encoding="utf-8").partition("## Move from before 0.2.0\n")[2].partition("\n## ")[0]
    steps = re.search(r"```sql\n(.*?)```", section, re.DOTALL)
    assert steps
    connection.execute(
        """insert into public.event_store
             (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version)
           select 10 * n, gen_random_uuid(), 'thing', '1', 'Made', '{}', '{}', n from generate_series(1, 3) as n"""
    )
    connection.execute(steps[1].encode())
    append(connection, "thing", "1", 3, [NewEvent("Made", {})])
    events = read_stream(connection, "thing", "1")
    assert [event.version for event in events] == [1, 2, 3, 4]
    assert [event.position for event in events] == [10, 20, 30, 31]
