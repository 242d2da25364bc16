"""pg_cron runs the jobs of the migrations: a refresh that changes a view, a purge that empties its own log.

On a cluster of its own: while a job runs, other databases of the cluster cannot be dropped. pg_cron's smallest
interval is a minute, so the jobs are moved to every minute and waited for.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.rows import dict_row

from penstock.operations import doctor
from tests.real.conftest import CRON_DATABASE, Figures, cluster_like_hosted, push
from tests.shop.registry import MATERIALIZED

VIEWS = sorted(MATERIALIZED)
SECONDS_TO_WAIT = 150


@pytest.fixture(scope="module")
def hosted() -> Iterator[psycopg.Connection]:
    with (
        cluster_like_hosted() as cluster,
        psycopg.connect(push(cluster), autocommit=True) as connection,
    ):
        yield connection


def jobs(hosted: psycopg.Connection, pattern: str) -> list[dict[str, object]]:
    """The jobs whose names are like this, by name."""
    cursor = hosted.cursor(row_factory=dict_row)
    return cursor.execute("select * from cron.job where jobname like %s order by jobname", [pattern]).fetchall()


def wait_until(hosted: psycopg.Connection, query: str, *parameters: object) -> float:
    """Wait until the query answers true; return the seconds it took."""
    began = time.monotonic()
    while time.monotonic() - began < SECONDS_TO_WAIT:
        if hosted.execute(query.encode(), parameters).fetchone() == (True,):
            return time.monotonic() - began
        time.sleep(0.5)
    runs = hosted.execute("select jobid, status, return_message from cron.job_run_details").fetchall()
    raise AssertionError(f"still not so after {SECONDS_TO_WAIT} s: {query}; runs: {runs}")


@contextmanager
def running_every_minute(hosted: psycopg.Connection, pattern: str) -> Iterator[list[dict[str, object]]]:
    found = jobs(hosted, pattern)
    assert found
    for job in found:
        hosted.execute("select cron.alter_job(%s, schedule => '* * * * *')", [job["jobid"]])
    try:
        yield found
    finally:
        for job in found:
            hosted.execute("select cron.alter_job(%s, schedule => %s)", [job["jobid"], job["schedule"]])


def test_each_view_is_refreshed_every_quarter_of_an_hour_and_not_with_another(
    hosted: psycopg.Connection,
) -> None:
    found = jobs(hosted, "penstock-refresh-%")
    assert [job["command"] for job in found] == [f"select public.refresh_materialized_view('{view}')" for view in VIEWS]
    assert [job["schedule"] for job in found] == ["0-59/15 * * * *", "1-59/15 * * * *", "2-59/15 * * * *"]
    assert {(job["database"], job["active"]) for job in found} == {(CRON_DATABASE, True)}


def test_the_log_of_jobs_is_purged_every_night(hosted: psycopg.Connection) -> None:
    [purge] = jobs(hosted, "penstock-purge-%")
    assert (purge["schedule"], purge["active"]) == ("17 3 * * *", True)


def test_scheduling_again_changes_no_job(hosted: psycopg.Connection) -> None:
    before = jobs(hosted, "%")
    named = hosted.execute("select ops.schedule_jobs() order by 1").fetchall()
    assert [name for (name,) in named] == [job["jobname"] for job in before]
    assert jobs(hosted, "%") == before


def test_no_other_job_is_scheduled(hosted: psycopg.Connection) -> None:
    assert len(jobs(hosted, "%")) == len(VIEWS) + 1


def test_the_refresh_jobs_really_run_and_refresh_every_view(hosted: psycopg.Connection, figures: Figures) -> None:
    hosted.execute(
        "insert into shop.orders (order_id, customer_id, status, currency, total, placed_at, version, placed_position,"
        " position) values ('cron-1', 'c-1', 'completed', 'GBP', 99.950, '2010-12-24', 1, 1, 1)"
    )
    [before] = hosted.execute("select max(refreshed_at) from ops.views").fetchone() or [None]
    assert hosted.execute("select count(*) from public.monthly_revenue").fetchone() == (0,)
    with running_every_minute(hosted, "penstock-refresh-%"):
        waited = wait_until(hosted, "select exists (select from public.monthly_revenue where revenue = 99.950)")
        wait_until(hosted, "select bool_and(refreshed_at > %s) from ops.views", before)
        wait_until(hosted, "select count(distinct jobid) = 3 from cron.job_run_details where status = 'succeeded'")
    figures["from an order to the view by pg_cron, each minute"] = f"{waited:.0f} s"


def test_the_purge_job_removes_old_runs_and_keeps_recent_ones(hosted: psycopg.Connection) -> None:
    hosted.execute(
        "insert into cron.job_run_details (jobid, runid, job_pid, database, username, command, status, start_time,"
        " end_time) select 1, 1000000 + age, 1, current_database(), 'postgres', 'select 1', 'succeeded',"
        " now() - age * interval '1 day', now() - age * interval '1 day' from unnest(array[0, 60]) as age"
    )
    with running_every_minute(hosted, "penstock-purge-%"):
        wait_until(hosted, "select not exists (select from cron.job_run_details where runid = 1000060)")
    kept = hosted.execute("select count(*) from cron.job_run_details where runid = 1000000").fetchone()
    assert kept == (1,)
    failed = hosted.execute("select * from cron.job_run_details where status = 'failed'").fetchall()
    assert failed == []


def test_doctor_counts_the_jobs_and_says_when_they_are_gone(hosted: psycopg.Connection) -> None:
    found = doctor.check_schedules(hosted)
    assert (found.ok, found.message) == (True, f"{len(VIEWS) + 1} jobs")
    hosted.execute("select cron.unschedule(jobid) from cron.job where jobname like 'penstock-%'")
    try:
        gone = doctor.check_schedules(hosted)
        assert (gone.ok, gone.message) == (False, "no job: select ops.schedule_jobs()")
    finally:
        hosted.execute("select ops.schedule_jobs()")
