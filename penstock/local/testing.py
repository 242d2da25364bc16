"""A pytest plugin for a project's own tests: `pytest -p penstock.local.testing`, as `penstock init` sets it up.

`settings` leads to a database of the test's own, a copy of one that has all migrations, on a Postgres that lives as
long as the test run. `api` calls the project's domains over HTTP; nothing reaches Inngest. After an append
`penstock.projections.advance_all(settings)` brings the read models up to date.
"""

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from psycopg import sql

from penstock.http.background import Notifiers
from penstock.local.postgres import EmbeddedPostgres
from penstock.postgres import migrations, pool
from penstock.project import find_project, install_domains
from penstock.settings import Settings

# What a crash would lose is thrown away in any case.
CARELESS: Final[Mapping[str, str]] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
TEMPLATE: Final = "penstock_template"
PREFIX: Final = "penstock-test-"


def pytest_configure(config: pytest.Config) -> None:
    """Before anything imports the functions: their client takes its mode from the environment, once."""
    os.environ["INNGEST_DEV"] = "1"
    # raised by inngest 0.5 at import, and nothing that a project could do something about
    config.addinivalue_line("filterwarnings", "ignore:Support for class-based `config`:DeprecationWarning")
    install_domains()


def scratch_folder() -> Path:
    """Memory where there is plenty: making a database is ten times faster there than on a disk."""
    memory = Path("/dev/shm")  # noqa: S108
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 4 * 2**30
    return memory if roomy else Path(tempfile.gettempdir())


def make_run_folder() -> Path:
    """A folder of this process' own; those of runs that were killed are removed, with their servers."""
    for left in scratch_folder().glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if left.stat().st_uid == os.getuid() and pid.isdigit() and not psutil.pid_exists(int(pid)):
            remove_run_folder(left)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=scratch_folder()))
    folder.chmod(0o755)  # a Postgres that root starts runs as somebody else
    return folder


def remove_run_folder(folder: Path) -> None:
    if (folder / "postgres").exists():
        EmbeddedPostgres(folder / "postgres").remove()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A superuser's DSN of the run's Postgres, whose database `penstock_template` has all migrations."""
    folder = make_run_folder()
    try:
        cluster = EmbeddedPostgres(folder / "postgres", settings=CARELESS)
        with pool.connect(cluster.start(TEMPLATE)) as connection:
            migrations.migrate(connection, folder=find_project().migrations)
        yield cluster.dsn("postgres")
    finally:
        remove_run_folder(folder)


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    _execute(postgres_url, "create database {} template {}", name, TEMPLATE)
    try:
        yield f"{postgres_url.rpartition('/')[0]}/{name}"
    finally:
        pool.close_pools()
        _execute(postgres_url, "drop database {} with (force)", name)


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return Settings(database_url=database_url, environment="local", storage_folder=tmp_path / "uploads")


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    """A client of the project's domains, over real HTTP and without Inngest."""
    # not before `pytest_configure`: importing the app makes the Inngest client
    from penstock.http.app import create_app

    silent = Notifiers(lambda: None, lambda: None, lambda events: None)
    app = create_app(*install_domains().load_domains(), settings=settings, notifiers=silent)
    with serving(app) as address, httpx.Client(base_url=address, timeout=30, trust_env=False) as client:
        yield client


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app on a free port of this machine; the address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the app did not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _execute(server: str, statement: str, *names: str) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
