"""Connections, and driver errors in the project's words."""

from dataclasses import replace

import psycopg
import pytest

from penstock import errors
from penstock.postgres import pool
from penstock.settings import Settings


def test_a_database_that_cannot_be_reached_is_named_without_its_password() -> None:
    settings = Settings(database_url="postgresql://app:hunter2@127.0.0.1:1/none", environment="local")
    with pytest.raises(errors.DatabaseUnavailable) as caught, pool.connect(settings.database_url):
        pass
    assert "127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_wrong_password_is_one_clear_error(settings: Settings) -> None:
    url = psycopg.conninfo.make_conninfo(settings.database_url, dbname="no_such_database")
    with pytest.raises(errors.DatabaseUnavailable, match="no_such_database"), pool.connect(url):
        pass


def test_a_connection_that_the_server_closed_is_replaced(settings: Settings, connection: psycopg.Connection) -> None:
    with pool.connection(settings) as borrowed:
        backend = borrowed.info.backend_pid
    connection.execute("select pg_terminate_backend(%s, 5000)", (backend,))
    with pool.connection(settings) as borrowed:
        assert borrowed.execute("select 1").fetchone() == (1,)


def test_a_transaction_rolls_back_on_any_error(settings: Settings, connection: psycopg.Connection) -> None:
    with pytest.raises(RuntimeError), pool.transaction(settings) as borrowed:
        borrowed.execute("create table public.half (n integer)")
        raise RuntimeError
    assert connection.execute("select to_regclass('public.half')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("select 'x'::integer", errors.InvalidInput),
        ("select 99999999999::integer", errors.InvalidInput),
        ("select pg_sleep(1)", errors.Unavailable),
        ("do $$ begin raise exception 'no' using errcode = 'PK006'; end $$", errors.Conflict),
        ("do $$ begin raise exception 'full' using errcode = '25006'; end $$", errors.DatabaseReadOnly),
        ("select no_such_column", psycopg.errors.UndefinedColumn),
        ("select from ops.no_such_table", errors.NotMigrated),
        ("select penstock.no_such_function()", errors.NotMigrated),
        ("select no_such_schema.anything()", errors.NotMigrated),
    ],
)
def test_an_sqlstate_becomes_the_projects_error(settings: Settings, statement: str, kind: type[Exception]) -> None:
    with pytest.raises(kind), pool.transaction(settings) as borrowed:
        borrowed.execute("set local statement_timeout = '50ms'")
        borrowed.execute(statement)


def test_behind_the_transaction_pooler_nothing_is_prepared(settings: Settings) -> None:
    with pool.connect(settings.database_url) as direct:
        assert direct.prepare_threshold is not None
    pooled = replace(settings, database_url="postgresql://localhost:6543/penstock")
    kwargs = pool.pool(pooled.database_url).kwargs
    assert isinstance(kwargs, dict)
    assert kwargs["prepare_threshold"] is None
    pool.close_pools()


def test_no_statement_of_ours_is_compiled(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session behind a pooler is left as it is: others get it next."""
    with pool.connect(settings.database_url) as own, pool.connection(settings) as borrowed:
        assert [each.execute("show jit").fetchone() for each in (own, borrowed)] == [("off",), ("off",)]
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1593028812)
    with pool.connect(settings.database_url) as pooled:
        assert pooled.execute("show jit").fetchone() == ("on",), "the local server has it on, as a hosted project does"


def test_a_pooler_on_any_port_is_noticed_by_the_number_that_it_gives(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As PgBouncer does: no session of Postgres has the number with which it greets."""
    monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1593028812)
    with pool.connect(settings.database_url) as own, pool.connection(settings) as borrowed:
        for each in (own, borrowed):
            assert each.prepare_threshold is None
            for _ in range(5):
                each.execute("select count(*) from pg_prepared_statements")
            assert each.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)
