"""On a server that compiles statements, as Debian's and Supabase's do, a small import is not one of them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from penstock.ingest.files import advance_import, create_import, dry_run
from penstock.postgres import pool
from penstock.projections import advance_all
from penstock.settings import Settings
from tests.real.clusters import Cluster, running_cluster
from tests.throwaway import EVERYTHING, migrate

EVENT = {
    "aggregate_type": "parcel",
    "event_type": "parcel.scanned",
    "payload": {},
    "occurred_at": "2026-01-01T00:00:00Z",
}
FILES = {
    "orders": "order_id,product_id,quantity,ordered_at,unit_price\n1,P1,1,2026-01-01,2.5\n1,P2,1,2026-01-01,2.5\n",
    "products": "sku,name,category\nP1,Lamp,Light\nP2,Lamp,Light\n",
    "customers": "id,name,registered_at\n1,Ann,2026-01-01\n2,Bob,2026-01-01\n",
    "inventory": "sku,delta\nP1,5\nP2,5\n",
    "events": "\n".join(json.dumps({**EVENT, "aggregate_id": str(number)}) for number in (1, 2)),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    settings = {"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track": "all"}
    with running_cluster(15, settings) as cluster:
        yield cluster


@pytest.fixture(params=["direct", "behind a pooler"])
def settings(
    cluster: Cluster, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Settings]:
    url = cluster.create_database(f"jit_{request.param_index}")
    migrate(url, EVERYTHING)
    if request.param == "behind a pooler":
        monkeypatch.setattr(psycopg.ConnectionInfo, "backend_pid", 1593028812)
    yield Settings(database_url=url, environment="local", currency="GBP", storage_folder=tmp_path)
    pool.close_pools()


def compiled(connection: psycopg.Connection, work: Callable[[], object]) -> list[str]:
    """The statements, nested ones too, of which `work` had any part compiled."""
    connection.execute("select pg_stat_statements_reset()")
    work()
    return [query for (query,) in connection.execute("select query from pg_stat_statements where jit_functions > 0")]


def test_a_small_import_and_what_follows_is_not_compiled(settings: Settings) -> None:
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        connection.execute("create extension pg_stat_statements")
        assert connection.execute("select pg_jit_available(), current_setting('jit')").fetchone() == (True, "on")
        dear = "set jit_above_cost = 0; select count(*) from public.event_store"
        assert compiled(connection, lambda: connection.execute(dear.encode())), "the server compiles, and says so"
        connection.execute("reset jit_above_cost")
        for target, text in FILES.items():
            again = text + "\n"
            for content in (text.encode(), again.encode()):
                assert compiled(connection, lambda: dry_run(settings, target, content)) == [], target  # noqa: B023
                created, _ = create_import(settings, target, content)
                assert compiled(connection, lambda: advance_import(settings, created.id)) == [], target  # noqa: B023
        assert compiled(connection, lambda: advance_all(settings)) == []
        refresh = b"select public.refresh_materialized_view('monthly_revenue')"
        assert compiled(connection, lambda: connection.execute(refresh)) == []
