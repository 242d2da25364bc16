"""Asks the catalogs what `supabase/tests/hygiene.sql` asks them: those questions need no pgTAP."""

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests import throwaway

HYGIENE = Path(__file__).parents[3] / "supabase" / "tests" / "hygiene.sql"
TEXT = HYGIENE.read_text(encoding="utf-8")
VIEWS = re.findall(r"^create temporary view .*?;$", TEXT, re.DOTALL | re.MULTILINE)
QUESTIONS = re.findall(r"^select is_empty\(\n  \$\$ (.*?) \$\$,\n  '(.*?)'\n\);$", TEXT, re.DOTALL | re.MULTILINE)
# what is made here breaks every rule that a table, a column or a function can break
UNTIDY = """
create view public.untidy_view as select 1 as one;
create table ops.untidy_table (one integer);
grant truncate on ops.untidy_table to analyst;
grant select on ops.untidy_table to authenticated;
create table ops.untidy_parent (one integer primary key);
create table ops.untidy_child (one integer references ops.untidy_parent);
create materialized view public.untidy_materialized as select 1 as one;
create function staging.untidy() returns integer language sql as 'select 1';
create function ops.untidy() returns integer language sql set search_path = public as 'select 1';
create function penstock.untidy() returns integer language sql set enable_nestloop = off as 'select 1';
create function public.untidy() returns trigger language plpgsql as 'begin return null; end';
grant execute on function ops.untidy(), public.untidy() to service_role;
create schema if not exists shop;
comment on schema shop is null;
"""


@pytest.fixture
def database_url() -> Iterator[str]:
    """The package's own objects; `tests/shop/test_hygiene.py` asks the same of the shop's."""
    with throwaway.cloned_database(throwaway.PACKAGE) as url:
        yield url


def answers(connection: psycopg.Connection, question: str) -> list[tuple[object, ...]]:
    for view in VIEWS:
        connection.execute(view.encode())
    return connection.execute(question.encode()).fetchall()


@pytest.mark.parametrize(("question", "rule"), QUESTIONS, ids=[rule for _, rule in QUESTIONS])
def test_the_catalogs_hold_to_every_rule(connection: psycopg.Connection, question: str, rule: str) -> None:
    assert answers(connection, question) == [], rule


@pytest.mark.parametrize(("question", "rule"), QUESTIONS, ids=[rule for _, rule in QUESTIONS])
def test_each_rule_can_see_a_breach(connection: psycopg.Connection, question: str, rule: str) -> None:
    connection.execute(UNTIDY.encode())
    assert answers(connection, question) != [], rule


def test_every_rule_of_the_file_is_asked_here() -> None:
    assert len(QUESTIONS) == TEXT.count("is_empty(")
    assert len(VIEWS) == TEXT.count("create temporary view")
