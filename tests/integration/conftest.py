"""Tests of the package on a real database: its own migrations, and a small domain of tickets."""

from collections.abc import Iterator

import psycopg
import pytest

from penstock.ingest.files import register
from penstock.ingest.files.parse.types import Identifier, Integer
from penstock.ingest.files.target import Field, Table, Target, unregister
from tests import throwaway
from tests.domains import installed
from tests.tickets import DOMAIN


@pytest.fixture(autouse=True, scope="module")
def tickets() -> Iterator[None]:
    with installed(DOMAIN):
        yield


@pytest.fixture
def database_url() -> Iterator[str]:
    with throwaway.cloned_database(throwaway.TICKETS) as url:
        yield url


@pytest.fixture
def shelves(connection: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """A plain table, and its target of the same name."""
    connection.execute("create table public.shelves (id text primary key, height integer not null)")
    fields = (Field("id", Identifier(64), True), Field("height", Integer(1, 1000), True))
    register(Target("shelves", fields, Table("public.shelves", ("id",))))
    yield connection
    unregister("shelves")
