"""Runs: one row for each, counted, ended, and free of secrets."""

import threading
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from penstock.errors import DatabaseUnavailable
from penstock.pipelines.runs import RunCounts, finish_run, list_runs, record_run, record_wake, run_id_of, start_run
from penstock.settings import Settings


def test_a_run_is_seen_while_it_goes_and_counted_when_it_ends(
    connection: psycopg.Connection, settings: Settings
) -> None:
    with record_run(settings, "import", "import-7") as run:
        (going,) = list_runs(connection)
        run.rows_in, run.rows_out, run.rows_rejected = 10, 8, 2
        run.details["file"] = "a.csv"
    (ended,) = list_runs(connection)
    assert (going.status, going.finished_at) == ("running", None)
    assert (ended.id, ended.pipeline, ended.status, ended.correlation_id) == (
        run.id,
        "import",
        "completed",
        "import-7",
    )
    assert (ended.rows_in, ended.rows_out, ended.rows_rejected, ended.details) == (10, 8, 2, {"file": "a.csv"})
    assert ended.finished_at is not None
    assert ended.duration_ms >= 0


def test_a_failed_run_keeps_its_counts_and_its_error_without_secrets(
    connection: psycopg.Connection, settings: Settings
) -> None:
    with pytest.raises(ValueError, match="hunter2"), record_run(settings, "etl") as run:
        run.rows_in = 3
        raise ValueError("postgresql://u:hunter2@h/d")
    (found,) = list_runs(connection)
    assert (found.status, found.rows_in, found.error) == ("failed", 3, "ValueError: postgresql://u:***@h/d")


def test_an_interrupted_run_is_failed_too(connection: psycopg.Connection, settings: Settings) -> None:
    with pytest.raises(KeyboardInterrupt), record_run(settings, "etl"):
        raise KeyboardInterrupt
    assert [(run.status, run.error) for run in list_runs(connection)] == [("failed", "KeyboardInterrupt")]


def test_the_first_error_is_told_when_the_database_went_away_meanwhile(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object) -> bool:
        raise DatabaseUnavailable("Postgres is away")

    monkeypatch.setattr("penstock.pipelines.runs.finish_run", gone)
    with pytest.raises(ValueError, match="the real one") as caught, record_run(settings, "etl"):
        raise ValueError("the real one")
    assert any("could not be recorded" in note for note in caught.value.__notes__)


def test_steps_of_one_run_share_a_row(connection: psycopg.Connection, settings: Settings) -> None:
    run_id = run_id_of("01KAHV5T7M0000000000000000")
    start_run(settings, "etl", run_id, "asked")
    start_run(settings, "etl", run_id, "asked")
    assert finish_run(settings, RunCounts(run_id, rows_in=1))
    assert not finish_run(settings, RunCounts(run_id, rows_in=2), "too late")
    start_run(settings, "etl", run_id, "asked")
    assert [(run.status, run.rows_in) for run in list_runs(connection)] == [("completed", 1)]


def test_a_failed_run_that_goes_on_is_running_again(connection: psycopg.Connection, settings: Settings) -> None:
    run_id = uuid4()
    start_run(settings, "etl", run_id)
    finish_run(settings, RunCounts(run_id), "first try")
    start_run(settings, "etl", run_id)
    assert [(run.status, run.error) for run in list_runs(connection)] == [("running", None)]


def test_wakes_of_a_minute_share_a_row(connection: psycopg.Connection, settings: Settings) -> None:
    now = datetime.now(UTC)
    for rows in (3, 0, 4):
        record_wake(settings, "project_orders", now, rows, {"position": rows})
    record_wake(settings, "relay_events", now, 1)
    found = {run.pipeline: run for run in list_runs(connection)}
    assert set(found) == {"project_orders", "relay_events"}
    orders = found["project_orders"]
    assert (orders.rows_in, orders.rows_out, orders.details["wakes"], orders.details["position"]) == (7, 7, 2, 4)


def test_a_wake_of_another_minute_or_after_a_failure_has_a_row_of_its_own(
    connection: psycopg.Connection, settings: Settings
) -> None:
    now = datetime.now(UTC)
    record_wake(settings, "project_orders", now - timedelta(minutes=2), 1)
    record_wake(settings, "project_orders", now, 1)
    with pytest.raises(RuntimeError), record_run(settings, "project_orders"):
        raise RuntimeError
    record_wake(settings, "project_orders", now, 1)
    wakes = [run.details.get("wakes") for run in list_runs(connection, pipeline="project_orders")]
    assert sorted(wakes, key=str) == [1, 2, None]


def test_racing_wakes_lose_no_count(connection: psycopg.Connection, settings: Settings) -> None:
    def work() -> None:
        for _ in range(10):
            record_wake(settings, "relay_events", datetime.now(UTC), 1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = list_runs(connection)
    assert sum(run.rows_in for run in found) == 40
    assert sum(run.details["wakes"] for run in found) == 40


def test_runs_are_listed_latest_first_by_pages(connection: psycopg.Connection, settings: Settings) -> None:
    for number in range(5):
        with record_run(settings, f"p{number % 2}") as run:
            run.rows_in = number
    first = list_runs(connection, max_count=2)
    rest = list_runs(connection, before=first[-1].started_at)
    assert [run.rows_in for run in (*first, *rest)] == [4, 3, 2, 1, 0]
    assert [run.rows_in for run in list_runs(connection, pipeline="p1")] == [3, 1]
    assert list_runs(connection, status="failed") == []
