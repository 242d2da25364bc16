"""The running app, for the tests of the shop's routes; connections that find the shop's tables by their bare names."""

from collections.abc import Iterator

import psycopg
import pytest

from tests.integration.http.conftest import api, guarded
from tests.shop.projections.store import SEARCH_PATH

__all__ = ["api", "guarded"]


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True, options=SEARCH_PATH) as connection:
        yield connection
