"""Marks every test of this folder `real` and lends the clusters that several suites share; the sample domain is
installed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.clusters import Cluster, running_cluster
from tests.real.supabase import VERSIONS, demand
from tests.shop.conftest import database_url, shop_domain

__all__ = ["database_url", "shop_domain"]

Figures = dict[str, str]
MEASURED: Figures = {}

HERE = Path(__file__).parent
CRON_DATABASE = "penstock"


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Not even import a suite that is not wanted: its driver (a browser's, say) may not be installed."""
    return True if config.option.markexpr == "not real" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.real)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if MEASURED:
        terminalreporter.section("measured")
    for name, value in MEASURED.items():
        terminalreporter.line(f"{name}: {value}")


@pytest.fixture
def figures() -> Figures:
    """Where a test leaves a figure that the run's summary shall show."""
    return MEASURED


@contextmanager
def cluster_like_hosted() -> Iterator[Cluster]:
    """Debian's Postgres 15 with pg_cron, and a database as a hosted project has it before the first migration."""
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": CRON_DATABASE}
    with running_cluster(15, settings) as cluster:
        cluster.create_database(CRON_DATABASE)
        with cluster.connect(CRON_DATABASE) as connection:
            connection.execute((HERE / "supabase_like.sql").read_bytes())
        yield cluster


def push(cluster: Cluster) -> str:
    """`supabase db push` as the database's owner `postgres`, who is no superuser; returns that role's DSN."""
    dsn = cluster.dsn(CRON_DATABASE, user="postgres")
    said = demand("db", "push", f"--remote={dsn}", "--include-seed", "--skip-vault", "--yes")
    assert f"Applying migration {VERSIONS[-1]}" in said
    assert "Seeding data from supabase/seed.sql" in said
    return dsn


@pytest.fixture(scope="session")
def supabase_cluster() -> Iterator[Cluster]:
    with cluster_like_hosted() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def hosted_dsn(supabase_cluster: Cluster) -> str:
    """The DSN of the database that `supabase db push` migrated."""
    return push(supabase_cluster)
