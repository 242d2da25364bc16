"""The tests' own ground: clones are apart from each other and from their template."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

from penstock.settings import Settings
from tests import throwaway


def test_two_clones_share_nothing() -> None:
    with throwaway.cloned_database() as one, throwaway.cloned_database() as other:
        with psycopg.connect(one) as connection:
            connection.execute("create table public.only_here ()")
        with psycopg.connect(other) as connection:
            found = connection.execute("select to_regclass('public.only_here')").fetchone()
        assert found == (None,)


def test_a_clone_is_dropped_even_with_a_session_open() -> None:
    with throwaway.cloned_database() as url:
        left_open = psycopg.connect(url)
    name = conninfo_to_dict(url)["dbname"]
    with psycopg.connect(throwaway.admin_url()) as connection:
        found = connection.execute("select 1 from pg_database where datname = %s", [name]).fetchone()
    left_open.close()
    assert found is None


def test_a_clone_has_every_migration(connection: psycopg.Connection, settings: Settings) -> None:
    assert settings.is_local
    row = connection.execute("select to_regclass('public.event_store') is not null").fetchone()
    assert row == (True,)
