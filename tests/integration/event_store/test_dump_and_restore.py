"""A dump taken amid appends, restored into a fresh server: nothing lost, still append-only, readers go on."""

import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock import errors
from penstock.event_store import (
    NewEvent,
    append,
    high_water_mark,
    load_aggregate,
    lock_checkpoint,
    move_checkpoint,
    read_checkpoint,
    read_events,
)
from penstock.local.postgres import EmbeddedPostgres, installation
from penstock.local.testing import CARELESS, scratch_folder
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests.integration.event_store.racing import Reader, Writer, made
from tests.integration.event_store.test_append_only import CHANGES
from tests.integration.event_store.test_snapshots import COUNTER

ROLES = ("anon", "authenticated", "service_role", "analyst")


@pytest.fixture
def fresh_server() -> Iterator[str]:
    """The DSN of an empty database in a server of its own, with the roles that a dump does not carry."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-cluster-", dir=scratch_folder()))
    folder.chmod(0o755)
    cluster = EmbeddedPostgres(folder / "postgres", settings=CARELESS)
    try:
        url = cluster.start()
        with psycopg.connect(url, autocommit=True) as connection:
            for role in ROLES:
                connection.execute(f"create role {role}".encode())
        yield url
    finally:
        cluster.remove()
        shutil.rmtree(folder)


def dump_and_restore(source: str, target: str, file: Path) -> None:
    programs = installation() / "bin"
    subprocess.run([programs / "pg_dump", "--format=custom", f"--file={file}", source], check=True)
    restore = ["--exit-on-error", "--no-owner", f"--dbname={target}", str(file)]
    subprocess.run([str(programs / "pg_restore"), *restore], check=True)


def fill(connection: Connection) -> NewEvent:
    """A stream with a snapshot, an upcaster, and a checkpoint in the middle; returns the stream's last event."""
    connection.execute(
        "create function public.lift(p jsonb) returns jsonb language sql immutable set search_path = '' as"
        " $$ select p || '{\"lifted\": true}' $$; select penstock.register_upcaster('Old', 1, 'public.lift(jsonb)')"
    )
    events = [NewEvent("Old", {"n": n}) for n in range(250)]
    append(connection, "thing", "a", "no_stream", events)
    load_aggregate(connection, COUNTER, "thing", "a")
    with connection.transaction():
        lock_checkpoint(connection, "mine")
        move_checkpoint(connection, "mine", read_events(connection, max_count=100)[-1].position)
    return events[-1]


def test_a_restored_server_goes_on_where_the_old_one_was(
    database_url: str, connection: Connection, fresh_server: str, tmp_path: Path
) -> None:
    last = fill(connection)
    writers = [Writer(database_url, f"w{number}", 1500) for number in range(3)]
    threads = [threading.Thread(target=writer.run) for writer in writers]
    for thread in threads:
        thread.start()
    dump_and_restore(database_url, fresh_server, tmp_path / "dump")
    for thread in threads:
        thread.join()

    with pool.connect(fresh_server) as restored:
        stored = restored.execute("select count(*), max(position) from public.event_store").fetchone()
        assert stored is not None
        number, highest = stored
        assert number >= 250
        assert high_water_mark(restored) >= highest
        assert read_checkpoint(restored, "mine") == read_checkpoint(connection, "mine")

        appended = append(restored, "thing", "a", 250, made())
        assert appended.position > highest
        reader = Reader(fresh_server)
        finished = threading.Event()
        finished.set()
        reader.run(finished)
        assert [position for position, _ in reader.seen][-1] == appended.position
        assert len(reader.seen) == number + 1
        rest = read_events(restored, after=read_checkpoint(restored, "mine"), max_count=200)
        assert (rest[0].version, rest[0].payload["lifted"]) == (101, True)

        with pytest.raises(errors.PartialRepeat):
            append(restored, "thing", "a", "any", [last, *made()])
        gaps = restored.execute(
            "select count(*) from penstock.streams as s"
            " where s.version <> (select count(*) from public.event_store as e"
            " where e.aggregate_id = s.aggregate_id and e.aggregate_type = s.aggregate_type)"
        ).fetchone()
        assert gaps == (0,)


def test_a_restored_server_is_append_only_and_knows_repeats(
    database_url: str, connection: Connection, fresh_server: str, tmp_path: Path
) -> None:
    fill(connection)
    sent = made(3)
    first = append(connection, "thing", "b", "no_stream", sent)
    dump_and_restore(database_url, fresh_server, tmp_path / "dump")
    with pool.connect(fresh_server) as restored:
        again = append(restored, "thing", "b", "no_stream", sent)
        assert (again.version, again.positions, again.duplicate) == (first.version, first.positions, True)
        assert load_aggregate(restored, COUNTER, "thing", "a") == load_aggregate(connection, COUNTER, "thing", "a")
        for mode in ("origin", "replica"):
            restored.execute(f"set session_replication_role = {mode}".encode())
            for statement in (change for change in CHANGES if "current_events" not in change):
                with pytest.raises(psycopg.Error) as caught:
                    restored.execute(statement.encode())
                assert caught.value.sqlstate == "PK006"
