"""Tests of the sample domain: it is installed, its migrations are applied, its app runs; bare names find its tables."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from functions import FUNCTIONS
from penstock.settings import Settings
from shop import DOMAIN
from tests import throwaway
from tests.domains import installed
from tests.integration.conftest import shelves  # noqa: F401
from tests.integration.http.conftest import Api, as_local, as_production, running
from tests.shop.projections.store import SEARCH_PATH


@pytest.fixture(autouse=True, scope="module")
def shop_domain() -> Iterator[None]:
    with installed(DOMAIN):
        yield


@pytest.fixture
def database_url() -> Iterator[str]:
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        yield url


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """A shop that has said what its money is in."""
    return replace(settings, currency="GBP")


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True, options=SEARCH_PATH) as connection:
        yield connection


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Iterator[Api]:
    """The app in local mode: no keys."""
    with running(as_local(settings, tmp_path), DOMAIN, FUNCTIONS) as api:
        yield api


@pytest.fixture
def guarded(settings: Settings) -> Iterator[Api]:
    """The app as in production."""
    with running(as_production(settings), DOMAIN, FUNCTIONS) as api:
        yield api
