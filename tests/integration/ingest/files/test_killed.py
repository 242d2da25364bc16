"""kill -9 at random points: the import goes on where it stopped, with the same counts and the same data."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import Import, create_import, import_status, register
from penstock.ingest.files.target import unregister
from penstock.settings import Settings
from tests.integration.ingest.files import killed

KILLS = int(os.environ.get("IMPORT_KILLS", "50"))
LINES = 4_000


@pytest.fixture
def settings(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> Iterator[Settings]:
    connection.execute("create table public.killed_things (id text primary key, n integer not null, note text)")
    register(killed.THINGS)
    yield Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path)
    unregister("killed_things")


def ticket_lines(batch: int) -> str:
    """Lines of 392 tickets all over the file; every 50th line is bad."""
    lines = ["ticket_id,part,quantity,opened_at,price"]
    for n in range(LINES):
        quantity = 0 if n % 50 == 7 else n % 9 + 1
        lines.append(f"{batch}-{n % 400},P{n % 31},{quantity},2026-01-01 00:00:{n % 60:02d},{n % 100}.25")
    return "\n".join(lines)


def things(batch: int) -> str:
    lines = ["id,n,note"]
    lines += [f'{batch}-{n},{-1 if n % 50 == 7 else n},"{"x" * (n % 90)}"' for n in range(LINES)]
    return "\n".join([*lines, *lines[1000:1300], f"{batch}-0,77,changed"])


def advanced_under_fire(settings: Settings, created: Import, rng: random.Random) -> tuple[Import, int]:
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.integration.ingest.files.killed"])
    kills = 0
    while not (now := import_status(settings, created.id)).is_final:
        arguments = (settings.database_url, str(settings.storage_folder), str(created.id))
        process = context.Process(target=killed.advance, args=arguments)
        process.start()
        time.sleep(rng.uniform(0.02, 0.15))
        process.kill()
        process.join()
        assert process.exitcode in {0, -signal.SIGKILL}
        kills += process.exitcode != 0
    return now, kills


def test_tickets_survive_random_kills(settings: Settings, connection: psycopg.Connection) -> None:
    rng, kills, batch = random.Random(1), 0, 0
    while kills < KILLS:
        batch += 1
        created, _ = create_import(settings, "tickets", ticket_lines(batch).encode())
        done, more = advanced_under_fire(settings, created, rng)
        kills += more
        assert (done.state, done.error) == ("completed_with_rejects", None)
        assert (done.rows_read, done.loaded, done.rejected, done.duplicate, done.pending) == (4000, 3920, 80, 0, 0)
        assert done.result == {"facts": 392, "events": 784}
        stored = connection.execute(
            """select count(*), count(distinct aggregate_id), sum(jsonb_array_length(payload -> 'lines')),
                 sum((select sum((l ->> 'quantity')::integer * (l ->> 'price')::numeric)
                   from jsonb_array_elements(payload -> 'lines') as l))
               from public.event_store
               where metadata ->> 'correlation_id' = %s and event_type = 'TicketOpened'""",
            (str(created.id),),
        ).fetchone()
        total = sum((n % 9 + 1) * (n % 100 + 0.25) for n in range(LINES) if n % 50 != 7)
        assert stored is not None
        assert (*stored[:3], float(stored[3])) == (392, 392, 3920, total)
        rejects = connection.execute(
            "select count(*), count(distinct line) from raw.import_rejects where import_id = %s", (created.id,)
        ).fetchone()
        assert rejects == (80, 80)
    left = connection.execute(
        "select count(*) from pg_tables where schemaname = 'staging' and starts_with(tablename, 'import')"
    ).fetchone()
    assert left == (0,), "no staged rows are left behind"


def test_held_lines_survive_random_kills(settings: Settings, connection: psycopg.Connection) -> None:
    """200 tickets of ten lines, 20 with a bad one; the next file mends ten by their line and ten as a whole."""
    rng, kills, batch = random.Random(3), 0, 0
    head = "ticket_id,part,quantity,opened_at,price"
    while kills < KILLS // 2:
        batch += 1
        lines = [f"{batch}-{n % 200},P{n},1,2026-01-01,1.25" for n in range(2000)]
        bad = [line.replace(",1,", ",x,") if n < 20 else line for n, line in enumerate(lines)]
        mended = [line for n, line in enumerate(lines) if n < 10 or 10 <= n % 200 < 20]
        found = []
        for text in (bad, mended):
            created, _ = create_import(settings, "tickets", "\n".join([head, *text]).encode())
            done, more = advanced_under_fire(settings, created, rng)
            kills += more
            found.append(done)
        first = import_status(settings, found[0].id)
        assert (found[0].loaded, found[0].rejected, found[0].held, found[0].duplicate) == (1800, 20, 180, 0)
        assert (first.loaded, first.rejected, first.held, first.duplicate) == (1890, 20, 0, 90)
        assert (found[1].loaded, found[1].rejected, found[1].held, found[1].duplicate) == (110, 0, 0, 0)
        stored = connection.execute(
            """select count(*), count(distinct aggregate_id), sum(jsonb_array_length(payload -> 'lines'))
               from public.event_store where event_type = 'TicketOpened' and aggregate_id like %s""",
            (f"{batch}-%",),
        ).fetchone()
        assert stored == (200, 200, 2000)
    assert connection.execute("select count(*) from raw.held_lines where outcome is null").fetchone() == (0,)
    assert connection.execute("select count(*) from raw.held_keys where completed_by is null").fetchone() == (0,)


def test_tables_survive_random_kills(settings: Settings, connection: psycopg.Connection) -> None:
    rng, kills, batch = random.Random(2), 0, 0
    while kills < KILLS:
        batch += 1
        created, _ = create_import(settings, "killed_things", things(batch).encode())
        done, more = advanced_under_fire(settings, created, rng)
        kills += more
        assert (done.state, done.error, done.rows_read) == ("completed_with_rejects", None, 4301)
        assert (done.loaded, done.rejected, done.duplicate, done.updated) == (3921, 86, 294, 1)
        found = connection.execute(
            """select count(*), sum(n), max(n) filter (where note = 'changed') from public.killed_things
               where id like %s""",
            (f"{batch}-%",),
        ).fetchone()
        assert found == (3920, sum(n for n in range(LINES) if n % 50 != 7) + 77, 77)
