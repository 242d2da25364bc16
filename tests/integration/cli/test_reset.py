"""`penstock reset`: all data goes, at once or not at all; what was set up stays, and everything works afterwards."""

import io
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock import projections, views
from penstock.cli import main
from penstock.domain import data_tables
from penstock.errors import RebuildInProgress, Unavailable
from penstock.event_store import NewEvent, append
from penstock.ingest import files
from penstock.operations import reset
from penstock.pipelines.dead_letters import park
from penstock.postgres import pool
from penstock.settings import Settings
from tests.waiting import PATIENCE_SECONDS

KEPT = ("penstock.configuration", "penstock.upcasters", "ops.views", "ops.signed_calls", "raw.import_mappings")
FILE = b"ticket,product,qty,date,each\nT-1,mug,2,2026-01-05,7.50\nT-2,cup,1,2026-01-06,3.00\n"


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_ENV", "local")
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(settings.storage_folder))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def load(settings: Settings) -> files.Import:
    """A file, its read model, a view and a letter: something of each kind."""
    imported = files.create_import(settings, "tickets", io.BytesIO(FILE), name="tickets.csv", options={})[0]
    imported = files.advance_import(settings, imported.id)
    projections.advance_all(settings)
    with pool.connection(settings) as connection:
        views.refresh_view(connection, "tickets_by_status")
        park(connection, "run", "etl", "r1", "no", {})
        connection.execute("insert into public.ticket_days values ('2026-01-05', now())")
    return imported


def tables(connection: psycopg.Connection) -> list[str]:
    """All tables of ours, from the catalog."""
    query = """
    select format('%I.%I', n.nspname, c.relname)
    from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname in ('public', 'ops', 'raw', 'staging', 'penstock', 'desk') order by 1
    """
    return [name for (name,) in connection.execute(query)]


def rows(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute(f"select count(*) from {name}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def triggers(connection: psycopg.Connection) -> list[Any]:
    return connection.execute("select tgrelid, tgname, tgenabled from pg_trigger order by 1, 2").fetchall()


def test_all_data_goes_and_what_was_set_up_stays(
    settings: Settings, connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    load(settings)
    before = {name: rows(connection, name) for name in tables(connection)}
    guarded = triggers(connection)
    stored = [path for path in settings.storage_folder.rglob("*") if path.is_file()]
    assert before["public.event_store"] == 4
    assert len(stored) == 1
    assert main(["reset", "--yes"]) == 0
    assert "is empty, and 1 files of imports are deleted" in capsys.readouterr().out
    left = {name: count for name in tables(connection) if (count := rows(connection, name))}
    assert left == {name: before[name] for name in KEPT if before[name]}
    assert rows(connection, "public.tickets_by_status") == 0
    assert triggers(connection) == guarded
    assert [path for path in settings.storage_folder.rglob("*") if path.is_file()] == []


def test_afterwards_the_same_file_gives_the_same_again(settings: Settings, connection: psycopg.Connection) -> None:
    first = load(settings)
    assert main(["reset", "--yes"]) == 0
    again = load(settings)
    assert (again.state, again.loaded, again.duplicate) == (first.state, first.loaded, 0)
    assert again.id != first.id
    query = "select ticket_id, title, total, status, opened_at from desk.tickets order by 1"
    assert len(connection.execute(query).fetchall()) == 2
    lowest = connection.execute("select min(position) from public.event_store").fetchone()
    assert lowest == (5,)  # positions go on: no cursor or checkpoint lies ahead of what is new


def test_the_store_is_append_only_again_afterwards(settings: Settings, connection: psycopg.Connection) -> None:
    assert main(["reset", "--yes"]) == 0
    load(settings)
    for change in ("truncate public.event_store", "delete from public.event_store"):
        with pytest.raises(psycopg.Error, match="append-only"):
            connection.execute(change.encode())
    assert rows(connection, "public.event_store") == 4


@pytest.mark.parametrize("role", ["service_role", "analyst", "authenticated", "anon"])
def test_nobody_but_the_owner_may(connection: psycopg.Connection, role: str) -> None:
    connection.execute(f"set role {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select penstock.reset_data()")


def test_even_with_the_right_to_call_it_only_the_owner_can(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings)
    connection.execute("grant execute on function penstock.reset_data(regclass[]) to service_role")
    connection.execute("grant usage on schema penstock to service_role")
    connection.execute("set role service_role")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select penstock.reset_data()")
    connection.execute("reset role")
    assert rows(connection, "public.event_store") == 4


def test_a_table_of_somebody_else_that_refers_to_ours_stops_it_whole(
    settings: Settings, connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    load(settings)
    connection.execute("create table public.notes (position bigint references public.event_store)")
    guarded = triggers(connection)
    assert main(["reset", "--yes"]) == 1
    expected = (
        'penstock: nothing is deleted: Table "notes" references "event_store". Empty and detach that table first\n'
    )
    assert capsys.readouterr().err == expected
    assert rows(connection, "public.event_store") == 4
    assert triggers(connection) == guarded


def test_without_a_word_nothing_is_deleted(
    settings: Settings,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(settings)
    assert main(["reset"]) == 1
    assert "--yes deletes all data without asking" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: "yes")
    assert main(["reset"]) == 1
    shown = capsys.readouterr().out
    assert "holds 4 events in 2 streams, and 1 imports" in shown
    assert shown.endswith("nothing is deleted\n")
    assert rows(connection, "public.event_store") == 4
    monkeypatch.setattr("builtins.input", lambda question: connection.info.dbname)
    assert main(["reset"]) == 0
    assert rows(connection, "public.event_store") == 0


def test_production_is_left_alone_unless_it_is_named(
    settings: Settings,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(settings)
    for value in ("production", ""):
        monkeypatch.setenv("PENSTOCK_ENV", value)
        assert main(["reset", "--yes"]) == 1
        shown = capsys.readouterr().err
        assert "is not said to be local: set PENSTOCK_ENV=local, or give --production" in shown
        assert str(connection.info.password) not in shown
    assert rows(connection, "public.event_store") == 4
    assert main(["reset", "--yes", "--production"]) == 0
    assert rows(connection, "public.event_store") == 0


def test_a_rebuild_that_runs_is_not_disturbed(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings)
    with connection.transaction():
        connection.execute("select pg_advisory_xact_lock(hashtext('penstock rebuild'), hashtext('tickets'))")
        with pytest.raises(RebuildInProgress):
            reset.reset_data(settings, data_tables())
    assert rows(connection, "public.event_store") == 4


def test_two_at_once_are_one_after_the_other(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings)
    with ThreadPoolExecutor(2) as pool_of_two:
        deleted = list(pool_of_two.map(lambda _: reset.reset_data(settings, data_tables()), range(2)))
    assert len(deleted) == 2
    assert [path for path in settings.storage_folder.rglob("*") if path.is_file()] == []
    assert rows(connection, "public.event_store") == 0


def test_it_waits_for_an_append_and_gives_up_in_time(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(settings)
    connection.execute("alter function penstock.reset_data set lock_timeout = '100ms'")
    with connection.transaction():
        connection.execute("select position from public.event_store")
        with pytest.raises(Unavailable):
            reset.reset_data(settings, data_tables())
    assert rows(connection, "public.event_store") == 4


def test_what_was_killed_in_the_middle_of_an_import_leaves_no_table(
    settings: Settings, connection: psycopg.Connection
) -> None:
    imported = files.create_import(settings, "tickets", io.BytesIO(FILE), name="tickets.csv", options={})[0]
    name = f"import_{imported.id.hex}"
    connection.execute(f"create sequence staging.{name}_ord".encode())
    connection.execute(f"create table staging.{name} (ord bigint default nextval('staging.{name}_ord'))".encode())
    connection.execute(f"create view staging.{name}_rows as select ord from staging.{name}".encode())
    connection.execute(f"create table staging.{name}_half () inherits (staging.{name})".encode())
    assert main(["reset", "--yes"]) == 0
    found = connection.execute(
        "select relname from pg_class where relname like 'import\\_%' and relkind in ('r','S','v')"
    )
    assert [name for (name,) in found if imported.id.hex in name] == []


def await_length(appended: list[int], wanted: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while len(appended) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_appends_beside_it_are_stored_whole_or_gone_whole(settings: Settings, connection: psycopg.Connection) -> None:
    stop = threading.Event()
    appended: list[int] = []

    def write(number: int) -> None:
        with pool.connect(settings.database_url) as own:
            while not stop.is_set():
                stream = f"R-{number}-{len(appended) % 50}"
                with suppress(Unavailable):  # the one of the two that Postgres chose, had they blocked each other
                    appended.append(append(own, "ticket", stream, "any", [NewEvent("TicketClosed", {})]).position)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    try:
        for wanted in (10, 20, 30):
            await_length(appended, wanted)
            reset.reset_data(settings, data_tables())
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    append(connection, "ticket", "R", "any", [NewEvent("TicketClosed", {})])
    projections.advance_all(settings)
    with pool.connection(settings) as own:
        checkpoint = own.execute("select position from ops.subscriptions where subscription = 'tickets'").fetchone()
    lost = """
    select (select count(*) from public.event_store as e where not exists (
        select from penstock.streams as s
        where s.aggregate_id = e.aggregate_id and s.aggregate_type = e.aggregate_type and s.version >= e.version)),
      (select count(*) from penstock.streams as s where s.version > 0 and not exists (
        select from public.event_store as e
        where s.aggregate_id = e.aggregate_id and s.aggregate_type = e.aggregate_type and s.version = e.version))
    """
    assert connection.execute(lost.encode()).fetchone() == (0, 0)
    assert checkpoint == connection.execute("select max(position) from public.event_store").fetchone()
