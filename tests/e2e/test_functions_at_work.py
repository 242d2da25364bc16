"""The functions through the stand-in, over HTTP: what is appended arrives, whatever is killed on the way."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from penstock.pipelines import dead_letters
from penstock.postgres import pool as database
from penstock.settings import Settings
from shop import DOMAIN
from tests import throwaway
from tests.e2e.inngest_stack import Stack, running, wait_for


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        throwaway.cloned_database(throwaway.EVERYTHING) as url,
        running(tmp_path_factory.mktemp("stack"), url) as stack,
    ):
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create table public.told (event_id text, data jsonb, at timestamptz default now())")
        yield stack


def place(stack: Stack, order_id: str, *, day: str = "2010-12-01") -> dict[str, Any]:
    at = f"{day}T08:26:00Z"
    item = {"product_id": "85123A", "name": "HOLDER", "category": None, "quantity": 2, "unit_price": "2.550"}
    placed = {"order_id": order_id, "customer_id": "17850", "currency": "GBP", "country": None, "placed_at": at}
    placed |= {"items": [item], "total": "5.100"}
    events = [
        {"event_type": "OrderPlaced", "payload": placed, "metadata": {"occurred_at": at}},
        {"event_type": "OrderCompleted", "payload": {}, "metadata": {"occurred_at": at}},
    ]
    response = httpx.post(f"{stack.app_url}/append/order/{order_id}", json=events, timeout=30)
    answer: dict[str, Any] = response.raise_for_status().json()
    return answer


def count_of(*order_ids: str) -> str:
    return f"select count(*) from shop.orders where order_id in ({', '.join(repr(i) for i in order_ids)})"


def told_of(*order_ids: str) -> str:
    ids = ", ".join(repr(i) for i in order_ids)
    return f"select count(distinct data ->> 'aggregate_id') from public.told where data ->> 'aggregate_id' in ({ids})"


def test_an_append_reaches_the_read_models_and_its_listener(stack: Stack) -> None:
    order_id = uuid4().hex
    appended = place(stack, order_id)
    stack.wait_for_value(f"select status from shop.orders where order_id = '{order_id}'", "completed")
    told = f"from public.told where event_id = '{appended['ids'][0]}'"
    stack.wait_for_value(f"select count(*) {told}", 1)
    data: Any = stack.value(f"select data {told}")
    assert data["payload"]["order_id"] == order_id
    assert (data["aggregate_type"], data["version"], data["reference_only"]) == ("order", 1, False)
    # the projections, and what publishes to Inngest; those without an event of theirs are moved by the sweep
    stack.send("penstock/sweep.requested", {})
    everything = len(DOMAIN.projections) + 1
    stack.wait_for_value("select count(distinct subscription) from ops.subscriptions where position > 0", everything)


def test_many_appends_at_once_all_arrive_by_few_wakes(stack: Stack) -> None:
    order_ids = [uuid4().hex for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda order_id: place(stack, order_id), order_ids))
    stack.wait_for_value(count_of(*order_ids), 60)
    stack.wait_for_value(told_of(*order_ids), 60)
    sends: Any = stack.value("select sum((details ->> 'wakes')::int) from ops.runs where pipeline = 'relay_events'")
    assert sends <= 30


def test_the_daily_etl_on_request(stack: Stack) -> None:
    order_id = uuid4().hex
    place(stack, order_id, day="2011-01-15")
    stack.send("etl/daily.requested", {"from": "2011-01-14", "to": "2011-01-16"})
    stack.wait_for_value("select order_count from public.daily_analytics where day = '2011-01-15'", 1)
    stack.wait_for_value("select order_count from public.daily_analytics where day = '2011-01-16'", 0)
    run = "from ops.runs where pipeline = 'run_daily_etl' and details ->> 'from' = '2011-01-14'"
    stack.wait_for_value(f"select status {run}", "completed")
    assert stack.value(f"select rows_out {run}") == 3


def test_views_on_request(stack: Stack) -> None:
    place(stack, uuid4().hex, day="2011-03-15")
    stack.wait_for_value("select count(*) from shop.orders where placed_at >= '2011-03-01'", 1)
    stack.send("views/refresh.requested", {"views": ["monthly_revenue"]})
    stack.wait_for_value("select revenue::text from public.monthly_revenue where month = '2011-03-01'", "5.100")


def test_a_refused_request_becomes_a_dead_letter_at_once(stack: Stack) -> None:
    stack.send("etl/daily.requested", {"from": "tomorrow", "to": "2011-01-16"})
    query = "select reason from ops.dead_letters where source = 'run_daily_etl' and resolved_at is null"
    reason = wait_for(lambda: stack.value(query), 20, "the dead letter")
    assert reason == "InvalidInput: from: 'tomorrow' is not a day such as 2010-12-31"
    stack.wait_for_value("select count(*) from ops.runs where pipeline = 'run_daily_etl' and status = 'failed'", 1)


def test_a_run_out_of_retries_can_be_run_again(stack: Stack) -> None:
    stack.send("test/fail", {"what": 1})
    query = "select id from ops.dead_letters where source = 'fail_on_demand' and resolved_at is null"
    letter_id: Any = wait_for(lambda: stack.value(query), 20, "the dead letter")
    assert stack.value("select count(*) from public.told where event_id = 'attempt'") == 2
    assert "hunter2" not in str(stack.value(f"select reason from ops.dead_letters where id = '{letter_id}'"))
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("insert into public.told (event_id) values ('healed')")
    settings = Settings(database_url=stack.database_url, environment="local")

    def send(connection: database.Connection, letter: dead_letters.DeadLetter) -> None:
        [event] = letter.payload["events"]
        stack.send(event["name"], event["data"])

    dead_letters.retry(settings, letter_id, {"run": send})
    stack.wait_for_value("select count(*) from public.told where event_id = 'attempt'", 3)
    assert stack.value(f"select resolution from ops.dead_letters where id = '{letter_id}'") == "retried"
    database.close_pools()


def test_what_was_appended_while_inngest_was_away_arrives_when_it_is_back(stack: Stack) -> None:
    stack.kill("inngest")
    order_ids = [uuid4().hex for _ in range(5)]
    for order_id in order_ids:
        place(stack, order_id)
    stack.start_inngest()
    stack.wait_until_synced()
    last = uuid4().hex
    place(stack, last)
    stack.wait_for_value(count_of(*order_ids, last), 6)
    stack.wait_for_value(told_of(*order_ids), 5)


@pytest.mark.parametrize("killed", ["app", "inngest"])
def test_every_acknowledged_append_arrives_though_a_process_is_killed_meanwhile(stack: Stack, killed: str) -> None:
    acknowledged: list[str] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            order_id = uuid4().hex
            with suppress(httpx.HTTPError):
                place(stack, order_id)
                acknowledged.append(order_id)

    with ThreadPoolExecutor(3) as pool:
        try:
            for _ in range(3):
                pool.submit(load)
            wait_for(lambda: len(acknowledged) >= 15, 20, "appends before the kill")
            stack.kill(killed)
            before = len(acknowledged)
            stack.start_app() if killed == "app" else stack.start_inngest()
            wait_for(lambda: len(acknowledged) >= before + 15, 30, "appends after the kill")
        finally:
            stop.set()
    stack.wait_until_synced()
    stack.send("penstock/sweep.requested", {})
    stack.wait_for_value(count_of(*acknowledged), len(acknowledged), 60)
    stack.wait_for_value(told_of(*acknowledged), len(acknowledged), 60)
