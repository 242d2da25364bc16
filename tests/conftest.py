"""Fixtures for all tests: each database is a clone of a migrated template, so tests may commit and race.

No domain is installed here: tests of the package bring a small one where they need it (`tests/tickets.py`), those of
the sample domain install it (`tests/shop/conftest.py`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.postgres import append_pool, pool
from penstock.settings import Settings
from tests import domains, throwaway
from tests.waiting import PATIENCE_SECONDS

# Before anything imports the functions: their client takes its mode from it once.
os.environ["INNGEST_DEV"] = "1"
# Else a busy machine would be told that Postgres is away, in tests that are about something else.
pool.CONNECT_TIMEOUT_SECONDS = PATIENCE_SECONDS
append_pool.ACQUIRE_TIMEOUT_SECONDS = PATIENCE_SECONDS


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        throwaway.open_session()


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        throwaway.close_session()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from tests.scheduling import TogetherScheduling

    return TogetherScheduling(config, log)


def pytest_collection_finish() -> None:
    domains.forget()


@pytest.fixture
def database_url() -> Iterator[str]:
    """The DSN of a database of the test's own, with the package's migrations applied."""
    with throwaway.cloned_database() as url:
        yield url


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    """The folder is the test's own, too: the purge would take the developer's files for nobody's."""
    yield Settings(database_url=database_url, environment="local", storage_folder=tmp_path / "uploads")
    pool.close_pools()
