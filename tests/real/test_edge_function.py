"""The Edge Function `refresh-views` in Deno, against the real SQL function over Supabase's HTTP API."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import httpx
import psycopg
import pytest

from penstock.operations.supabase_check import check_supabase
from penstock.postgres.migrations import REPOSITORY, migrate
from penstock.settings import Settings
from tests.real.clusters import Cluster
from tests.real.toolbox import PROJECT, deno, deno_environment, node, node_modules, run
from tests.shop.registry import MATERIALIZED

FUNCTION = PROJECT / "supabase" / "functions" / "refresh-views"
SOURCES = sorted(FUNCTION.glob("*.ts"))
SECRET_KEY = "sb_secret_of_the_edge_function_test"
PUBLISHABLE_KEY = "sb_publishable_of_the_edge_function_test"
VIEWS = list(MATERIALIZED)


@dataclass(frozen=True)
class EdgeFunction:
    url: str
    api: str
    database: str
    log: Path

    def call(self, key: str | None = SECRET_KEY, method: str = "POST") -> httpx.Response:
        headers = {} if key is None else {"apikey": key}
        return httpx.request(method, self.url, headers=headers, timeout=60, trust_env=False)


def deno_run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run([deno(), *arguments], folder=FUNCTION, environment=deno_environment())


@pytest.fixture(scope="module")
def cached_modules() -> None:
    done = deno_run("cache", *SOURCES)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def edge_function(
    supabase_cluster: Cluster, cached_modules: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EdgeFunction]:
    folder = tmp_path_factory.mktemp("edge")
    database = _own_database(supabase_cluster)
    log = folder / "function.log"
    with (
        _serving_api(supabase_cluster.dsn("edge"), folder / "api.log") as api,
        _serving_function(api, log) as url,
    ):
        yield EdgeFunction(url, api, database, log)


def _own_database(cluster: Cluster) -> str:
    """A database that no pg_cron job touches, migrated by its owner."""
    with cluster.connect() as connection:
        connection.execute("create database edge owner postgres")
    dsn = cluster.dsn("edge", user="postgres")
    with psycopg.connect(dsn, autocommit=True) as connection:
        migrate(connection, folder=REPOSITORY)
    return dsn


@contextmanager
def _serving_api(dsn: str, log: Path) -> Iterator[str]:
    # Beside the packages, since that is where Node looks for what a module imports.
    script = node_modules().parent / "supabase_api.mjs"
    shutil.copy(Path(__file__).parent / script.name, script)
    keys = {"SECRET_KEY": SECRET_KEY, "PUBLISHABLE_KEY": PUBLISHABLE_KEY}
    with _process([node(), script], {"DATABASE_URL": dsn, **keys}, log) as process:
        assert process.stdout
        port = process.stdout.readline().strip()
        assert port.isdigit(), log.read_text()
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _serving_function(api: str, log: Path) -> Iterator[str]:
    address = f"127.0.0.1:{_free_port()}"
    environment = {
        **deno_environment(),
        "DENO_SERVE_ADDRESS": f"tcp:{address}",
        "SUPABASE_URL": api,
        "SUPABASE_SECRET_KEYS": f'{{"default": "{SECRET_KEY}"}}',
    }
    permissions = ["--cached-only", "--no-prompt", "--allow-env", "--allow-net=127.0.0.1"]
    command: list[str | Path] = [deno(), "run", *permissions, "index.ts"]
    with _process(command, environment, log) as process:
        _wait_until_listening(process, address, log)
        yield f"http://{address}/refresh-views"


@contextmanager
def _process(command: Sequence[str | Path], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    with (
        log.open("w") as errors,
        subprocess.Popen(
            list(map(str, command)),
            cwd=FUNCTION,
            env={**os.environ, "NO_COLOR": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _wait_until_listening(process: subprocess.Popen[str], address: str, log: Path) -> None:
    host, _, port = address.partition(":")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"the Edge Function does not listen:\n{log.read_text()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


CHECKS: list[list[str | Path]] = [
    ["fmt", "--check"],
    ["lint"],
    ["check", "--cached-only", *SOURCES],
    ["test", "--cached-only"],
]


@pytest.mark.parametrize("arguments", CHECKS, ids=lambda arguments: arguments[0])
def test_deno_finds_no_fault(cached_modules: None, arguments: list[str | Path]) -> None:
    done = deno_run(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_call_refreshes_every_view_and_says_how_long_each_took(edge_function: EdgeFunction) -> None:
    with psycopg.connect(edge_function.database, autocommit=True) as connection:
        connection.execute(
            "insert into shop.orders (order_id, customer_id, status, currency, total, placed_at, completed_at, version,"
            " placed_position, position)"
            " values ('edge-1', 'c-1', 'completed', 'GBP', 12.340, '2010-12-05', '2010-12-05', 1, 1, 1)"
        )
        began = connection.execute("select clock_timestamp()").fetchone()
        answer = edge_function.call()
        revenue = connection.execute("select month::date, revenue from public.monthly_revenue").fetchall()
    assert answer.status_code == 200, answer.text + edge_function.log.read_text()
    report = answer.json()
    assert report["failed"] == []
    assert [row["view"] for row in report["refreshed"]] == VIEWS
    for row in report["refreshed"]:
        assert row["duration_ms"] > 0
        assert began is not None
        assert began[0] <= datetime.fromisoformat(row["refreshed_at"])
    assert [(month.isoformat(), str(total)) for month, total in revenue] == [("2010-12-01", "12.340")]


def test_a_view_that_is_not_registered_is_reported_beside_the_others(edge_function: EdgeFunction) -> None:
    with psycopg.connect(edge_function.database, autocommit=True) as connection:
        connection.execute("update ops.views set view = 'another' where view = 'user_cohorts'")
        try:
            answer = edge_function.call()
        finally:
            connection.execute("update ops.views set view = 'user_cohorts' where view = 'another'")
    assert answer.status_code == 207, answer.text
    report = answer.json()
    assert [row["view"] for row in report["refreshed"]] == ["monthly_revenue", "product_performance"]
    [failure] = report["failed"]
    assert failure["view"] == "user_cohorts"
    assert failure["code"] == "PK007"


@pytest.mark.parametrize("key", [None, "", "sb_secret_wrong", PUBLISHABLE_KEY])
def test_a_call_without_the_secret_key_is_refused(edge_function: EdgeFunction, key: str | None) -> None:
    answer = edge_function.call(key)
    assert answer.status_code == 401
    assert answer.json()["type"] == "urn:penstock:problem:unauthorised"


def test_other_methods_are_refused(edge_function: EdgeFunction) -> None:
    assert edge_function.call(method="GET").status_code == 405


def test_the_publishable_key_cannot_refresh_past_the_function(edge_function: EdgeFunction) -> None:
    url = f"{edge_function.api}/rest/v1/rpc/refresh_materialized_view"
    answer = httpx.post(url, json={"view_name": VIEWS[0]}, headers={"apikey": PUBLISHABLE_KEY}, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["code"] == "42501"


def test_the_doctor_tries_both_keys(edge_function: EdgeFunction) -> None:
    settings = Settings(
        database_url="",
        supabase_url=edge_function.api,
        supabase_secret_key=SECRET_KEY,
        supabase_publishable_key=PUBLISHABLE_KEY,
    )
    assert [(check.name, check.ok) for check in check_supabase(settings)] == [
        ("supabase secret key", True),
        ("supabase publishable key", True),
    ]
    exchanged = replace(settings, supabase_secret_key=PUBLISHABLE_KEY, supabase_publishable_key=SECRET_KEY)
    assert [check.ok for check in check_supabase(exchanged)] == [False, False]


def test_no_secret_is_logged(edge_function: EdgeFunction) -> None:
    edge_function.call()
    edge_function.call("sb_secret_wrong")
    assert SECRET_KEY not in edge_function.log.read_text()
