"""A server of Inngest's that remembers nothing after its end, as the real development server: nothing stays untold."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests import throwaway
from tests.e2e.inngest_stack import Stack, running, wait_for

TOLD = "select count(distinct data ->> 'aggregate_id') from public.told"


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        with psycopg.connect(url) as connection:
            connection.execute("create table public.told (event_id text, data jsonb, at timestamptz default now())")
        with running(tmp_path_factory.mktemp("stack"), url, forgets=True) as stack:
            yield stack


def place(stack: Stack) -> None:
    event = {"event_type": "OrderPlaced", "payload": {"order_id": uuid4().hex, "items": [], "total": "1"}}
    httpx.post(f"{stack.app_url}/append/order/{uuid4().hex}", json=[event], timeout=30).raise_for_status()


def register(stack: Stack) -> None:
    assert httpx.put(f"{stack.app_url}/api/inngest", timeout=30).json()["ok"] is True


def test_events_wait_for_a_restarted_server_until_it_has_the_app(stack: Stack) -> None:
    place(stack)
    stack.wait_for_value(TOLD, 1)
    stack.kill("inngest")
    stack.start_inngest(knows_app=False)
    for _ in range(10):
        place(stack)
    log = stack.folder / "app.log"
    wait_for(lambda: "does not have this app" in log.read_text(), what="the relay to notice")
    assert httpx.get(f"{stack.inngest_url}/dev").json()["functions"] == []
    assert stack.value("select position <= 1 from ops.subscriptions where subscription = 'inngest'") is True
    register(stack)
    stack.wait_for_value(TOLD, 11)
    stack.wait_for_value("select count(*) from shop.orders", 11)


def test_what_was_taken_and_not_run_is_told_again(stack: Stack) -> None:
    """The load goes on while the server is killed: at its end there are events that it took and did not run."""
    placed: list[None] = []
    stop = threading.Event()

    def load() -> None:
        while not stop.is_set():
            with suppress(httpx.HTTPError):
                placed.append(place(stack))

    with ThreadPoolExecutor(3) as pool:
        try:
            for _ in range(3):
                pool.submit(load)
            for kill in range(3):
                wait_for(lambda least=15 * (kill + 1): len(placed) >= least, what="appends before the kill")
                stack.kill("inngest")
                stack.start_inngest(knows_app=False)
                register(stack)
            wait_for(lambda: len(placed) >= 60, what="appends after the kills")
        finally:
            stop.set()
    total = stack.value("select count(*) from public.event_store")
    stack.wait_for_value(TOLD, total)
    stack.wait_for_value("select count(*) from shop.orders", total)
