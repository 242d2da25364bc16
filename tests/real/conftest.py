"""Marks every test of this folder `real` and lends the clusters that several suites share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clusters import Cluster, running_cluster
from tests.real.supabase import VERSIONS, demand

Figures = dict[str, str]
MEASURED: Figures = {}

HERE = Path(__file__).parent
CRON_DATABASE = "penstock"


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


@pytest.fixture(scope="session")
def supabase_cluster() -> Iterator[Cluster]:
    """Debian's Postgres 15 with pg_cron, and a database as a hosted project has it before the first migration."""
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": CRON_DATABASE}
    with running_cluster(15, settings) as cluster:
        cluster.create_database(CRON_DATABASE)
        with cluster.connect(CRON_DATABASE) as connection:
            connection.execute((HERE / "supabase_like.sql").read_bytes())
        yield cluster


@pytest.fixture(scope="session")
def hosted_dsn(supabase_cluster: Cluster) -> str:
    """That database after `supabase db push`, as its owner `postgres`, who is no superuser."""
    dsn = supabase_cluster.dsn(CRON_DATABASE, user="postgres")
    said = demand("db", "push", f"--remote={dsn}", "--include-seed", "--skip-vault", "--yes")
    assert f"Applying migration {VERSIONS[0]}" in said
    assert "Seeding data from supabase/seed.sql" in said
    return dsn
