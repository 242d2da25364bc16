"""Marks every test of this folder `real` and lends the clusters that several suites share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.clusters import Cluster, running_cluster

HERE = Path(__file__).parent
CRON_DATABASE = "penstock"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def supabase_cluster() -> Iterator[Cluster]:
    """Debian's Postgres 15 with pg_cron, and a database as a hosted project has it before the first migration."""
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": CRON_DATABASE}
    with running_cluster(15, settings) as cluster:
        cluster.create_database(CRON_DATABASE)
        with cluster.connect(CRON_DATABASE) as connection:
            connection.execute((HERE / "supabase_like.sql").read_text())
        yield cluster
