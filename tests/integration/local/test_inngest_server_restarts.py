"""The local Inngest stand-in when it is killed, restarted, refused its port, or has run for days."""

import sqlite3
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from penstock.local.inngest_messages import next_firing
from penstock.local.inngest_store import DAY, Store, ulid
from tests.integration.local.inngest_conformance import functions, stage
from tests.integration.local.inngest_conformance.stage import Journal, Stage
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture
def case() -> str:
    return uuid.uuid4().hex


@contextmanager
def killed_after(database: Path, port: int, *apps: str) -> Iterator[None]:
    server = stage.spawn(database, port, apps, "--time-scale", "0.02")
    try:
        yield
    finally:
        server.kill()
        server.communicate()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Stage]:
    """An app in this process; the test starts and kills the stand-in, which is a process of its own."""
    server_url, (listener, app_url) = f"http://127.0.0.1:{free_port()}", stage.free_listener()
    client, journal = stage.make_client(server_url), Journal()
    with stage.serving(client, functions.make(client, journal), journal, listener), httpx.Client() as http:
        yield Stage(server_url, app_url, client, journal, http)


def test_what_was_accepted_survives_a_kill(apart: Stage, tmp_path: Path, case: str) -> None:
    database, port = tmp_path / "inngest.db", int(apart.server_url.rpartition(":")[2])
    with killed_after(database, port, apart.app_url):
        stage.wait_for_functions(apart.http, apart.server_url)
        ids = [apart.send("shop/sleeps", f"{case} {n}")[0] for n in range(20)]
        ids += apart.send("shop/recovers", f"{case} retried")
        apart.journal.wait(f"{case} retried", "attempt")
        ids += apart.send("shop/plain", f"{case} many", count=200)
    before = len(apart.journal.of(f"{case} many"))
    with killed_after(database, port):
        stage.wait_for_functions(apart.http, apart.server_url)
        assert {apart.ended(event_id, 15)["status"] for event_id in ids} == {"Completed"}
    assert before < 200
    assert {note.data["event"].data["n"] for note in apart.journal.of(f"{case} many")} == set(range(200))
    assert all(apart.journal.of(f"{case} {n}", "after") for n in range(20))
    attempts = [note.data["attempt"] for note in apart.journal.of(f"{case} retried", "attempt")]
    assert max(attempts) == 2


def test_a_memoised_step_is_not_repeated_after_a_kill(apart: Stage, tmp_path: Path, case: str) -> None:
    database, port = tmp_path / "inngest.db", int(apart.server_url.rpartition(":")[2])
    with killed_after(database, port, apart.app_url):
        stage.wait_for_functions(apart.http, apart.server_url)
        apart.send("shop/sleeps", case)
        apart.journal.wait(case, "before")
        time.sleep(0.1)
    with killed_after(database, port):
        apart.journal.wait(case, "after")
    assert [len(apart.journal.of(case, what)) for what in ("before", "between", "after")] == [1, 1, 1]


def test_a_cron_missed_while_the_server_was_down_fires_once_on_its_return(tmp_path: Path) -> None:
    with stage.stage(tmp_path, functions.scheduled) as running:
        assert running.journal.notes == []
    with sqlite3.connect(tmp_path / "inngest.db") as db:
        (due,) = db.execute("select distinct due from steps where op = 'Cron'").fetchone()
        db.execute("update steps set due = ? where op = 'Cron'", (1_764_032_400,))
    db.close()
    assert due == next_firing("TZ=Europe/Paris 0 2 * * *", time.time())
    with stage.stage(tmp_path, functions.scheduled) as running:
        (note,) = running.journal.wait("cron", "nightly")
        (other,) = running.journal.wait("cron", "nightly too")
        time.sleep(0.1)
        assert len(running.journal.notes) == 2
    event, fired = note.data["event"], "2025-11-25T01:00:00Z"
    assert event.name == "inngest/scheduled.timer"
    assert event.data == {"cron": "TZ=Europe/Paris 0 2 * * *", "scheduledAt": fired, "fireAt": fired}
    # as on the real server, so that nobody takes it for the id of a run
    assert event.id == other.data["event"].id == fired


def test_a_database_in_memory_forgets_everything_with_its_end(tmp_path: Path, case: str) -> None:
    with stage.stage(tmp_path, functions.plain, database=":memory:") as running:
        shop = running.send("shop/plain", case)
        running.ended(shop[0])
    with stage.stage(tmp_path, functions.plain, database=":memory:") as running:
        assert running.runs(shop[0]) == []
    assert list(tmp_path.iterdir()) == []


def test_a_busy_port_and_a_database_in_use_get_one_line(tmp_path: Path) -> None:
    with stage.stage(tmp_path, functions.plain) as running:
        busy = stage.spawn(tmp_path / "other.db", int(running.server_url.rpartition(":")[2]))
        used = stage.spawn(tmp_path / "inngest.db", free_port())
        outputs = [process.communicate(timeout=PATIENCE_SECONDS)[0].splitlines() for process in (busy, used)]
    assert [len(lines) for lines in outputs] == [1, 1]
    assert "port" in outputs[0][0]
    assert "another server" in outputs[1][0]
    assert busy.returncode == used.returncode == 1


def test_only_loopback_is_served(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="loopback only"):
        stage.InngestServer(host="0.0.0.0", port=0, database=tmp_path / "inngest.db")


def test_what_ended_a_day_ago_is_dropped_and_open_runs_stay(tmp_path: Path) -> None:
    store, now = Store(tmp_path / "inngest.db"), time.time()
    with store.db:
        for n in range(1_200):
            store.add_event(event := ulid(now), f"event {n}", "shop/plain", "{}", now - 2 * DAY)
            run_id, _ = store.join_run("shop-plain", "", event, now, now)
            store.memoize(run_id, "a", "StepRun", "a", "{}", now)
            if n % 4:
                store.end_run(run_id, "Completed", "null", now - (n % 4 - 1) * DAY - 60)
    while store.purge(now):
        pass
    counts = [store.rows(f"select count(*) from {table}")[0][0] for table in ("runs", "run_events", "events")]
    assert counts == [600, 600, 600]
    assert {row["status"] for row in store.rows("select status from runs where ended is null")} == {"Running"}
    store.db.close()
