"""Behind PgBouncer in transaction mode, on a port that says nothing, all works as it does without."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import httpx
import psycopg
import pytest

from functions import FUNCTIONS
from penstock.ingest.files import advance_import, create_import
from penstock.operations.doctor import run_checks
from penstock.postgres import migrations, pool
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop import DOMAIN
from tests.integration.http.conftest import Api, running
from tests.real.clusters import Cluster, running_cluster
from tests.real.poolers import transaction_pooler

LINES = b"""InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom
536366,22633,HAND WARMER,6,2010-12-01 08:28:00,1.85,,United Kingdom
"""


@pytest.fixture(scope="module")
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    """Postgres itself, and as it is seen through the pooler."""
    with running_cluster(15) as direct, transaction_pooler(direct) as pooled:
        yield direct, pooled


@pytest.fixture
def settings(clusters: tuple[Cluster, Cluster], tmp_path: Path) -> Iterator[Settings]:
    direct, pooled = clusters
    direct.create_database("penstock")
    url = pooled.dsn("penstock")
    with closing(pool.connect(url)) as connection:
        assert migrations.migrate(connection, folder=migrations.REPOSITORY)
    yield Settings(url, environment="local", storage_folder=tmp_path)
    pool.close_pools()


def test_everything_works_behind_it(clusters: tuple[Cluster, Cluster], settings: Settings) -> None:
    direct, pooled = clusters
    assert thresholds(direct) != [None]
    assert thresholds(pooled) == [None]
    with running(settings, DOMAIN, FUNCTIONS) as api, ThreadPoolExecutor(24) as threads:
        list(threads.map(lambda number: use(api, number), range(240)))
        created, _ = create_import(settings, "orders", LINES)
        assert advance_import(settings, created.id).loaded == 2
        read_and_compute(api, settings)
    with psycopg.connect(direct.dsn("penstock")) as connection:
        assert connection.execute("select count(*) from public.event_store").fetchone() == (240 * 4 + 4,)
        assert connection.execute("select count(*) from shop.orders").fetchone() == (242,)
    (check,) = (check for check in run_checks(settings) if check.name == "database")
    assert "through a pooler" in check.message


def use(api: Api, number: int) -> None:
    """The path on the event loop and the ones through threads, more often than anything is prepared after."""
    stream = f"/v1/streams/ticket/T-{number}/events"
    event = {"event_type": "TicketOpened", "payload": {"n": number}}
    ok(api.http.post(stream, json={"expected_version": "no_stream", "events": [event]}))
    ok(api.http.post(stream, json={"expected_version": 1, "events": [event, event]}))
    order = {
        "order_id": f"O-{number}",
        "customer_id": "C-1",
        "currency": "EUR",
        "items": [{"product_id": f"P-{number}", "quantity": 1, "unit_price": "2.50"}],
    }
    ok(api.http.post("/v1/orders", json=order))
    ok(api.http.get(stream))
    ok(api.http.get("/v1/events?limit=5"))


def read_and_compute(api: Api, settings: Settings) -> None:
    advance_all(settings, seconds=60)
    rebuilt = rebuild(settings, "orders")
    assert (rebuilt.deleted, rebuilt.inserted) == (0, 0)
    for _ in range(6):
        ok(api.http.post("/v1/views/monthly_revenue/refresh"))
        for path in ("/v1/views/monthly_revenue", "/metrics", "/v1/alerts", "/v1/runs", "/ready", "/v1/orders/O-1"):
            ok(api.http.get(path))


def ok(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, (str(answer.url), answer.status_code, answer.text)
    return answer


def thresholds(cluster: Cluster) -> list[int | None]:
    with closing(pool.connect(cluster.dsn())) as connection:
        return [connection.prepare_threshold]
