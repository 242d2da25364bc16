"""From an append's answer over HTTP to the row in `orders`, through relay, Inngest and projection, at 50 a second.

Everything runs as a user has it after `make up`: the app with one worker, the local Inngest stand-in, Postgres with
fsync on. An open loop: appends go out by the clock, however slow the answers are.
"""

import bisect
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from benchmarks.harness import Bench, Figure, url_of

ROOT = Path(__file__).parent.parent
APPENDS_A_SECOND = 50
POLL_SECONDS = 0.004
GIVE_UP_SECONDS = 30.0
TARGET_MS = 1000


def run(bench: Bench) -> Iterator[Figure]:
    seconds = max(10.0, bench.seconds * 3)
    with processes(url_of(bench.url)) as app_url:
        measure(bench.url, app_url, 2.0)  # warm
        lags = sorted(measure(bench.url, app_url, seconds))
    percentiles = statistics.quantiles(lags, n=100)
    yield Figure(
        "append_to_orders_p95",
        "ms",
        percentiles[94] * 1000,
        details={
            "p50": round(percentiles[49] * 1000, 1),
            "p99": round(percentiles[98] * 1000, 1),
            "max": round(lags[-1] * 1000, 1),
            "appends": len(lags),
            "appends_a_second": APPENDS_A_SECOND,
            "at_most": TARGET_MS,
        },
    )


def measure(database: str, app_url: str, seconds: float) -> list[float]:
    """Seconds from each append's answer until its row is seen. Raises if one never comes."""
    count = round(seconds * APPENDS_A_SECOND)
    run_id = uuid.uuid4().hex[:8]
    watch = Watch(database)
    with ThreadPoolExecutor(16) as pool, httpx.Client(base_url=app_url, timeout=30) as http:
        start = time.perf_counter()
        answers = []
        for number in range(count):
            time.sleep(max(0.0, start + number / APPENDS_A_SECOND - time.perf_counter()))
            answers.append(pool.submit(append, http, f"{run_id}-{number}"))
        answered = [answer.result() for answer in answers]
    watch.end_at(max(position for position, _ in answered))
    check_rows(database, run_id, count)
    return [max(0.0, watch.seen_at(position) - at) for position, at in answered]


def append(http: httpx.Client, order_id: str) -> tuple[int, float]:
    """The event's position, and when the answer was there."""
    at = "2010-12-01T08:26:00Z"
    item = {"product_id": "85123A", "name": "HOLDER", "category": None, "quantity": 6, "unit_price": "2.550"}
    payload = {"order_id": order_id, "customer_id": "17850", "currency": "GBP", "country": None, "placed_at": at}
    event = {"event_type": "OrderPlaced", "payload": {**payload, "items": [item], "total": "15.300"}}
    body = {"expected_version": "no_stream", "events": [{**event, "metadata": {"occurred_at": at}}]}
    answer = http.post(f"/v1/streams/order/{order_id}/events", json=body).raise_for_status().json()
    return answer["position"], time.perf_counter()


class Watch:
    """When the projection had passed which position. Its checkpoint commits together with the rows."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._positions: list[int] = [0]
        self._times: list[float] = [time.perf_counter()]
        self._last: int | None = None
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def end_at(self, position: int) -> None:
        """Return once the position is passed."""
        self._last = position
        self._thread.join(GIVE_UP_SECONDS)
        if self._positions[-1] < position:
            raise RuntimeError(f"`orders` is at {self._positions[-1]} and not at {position}")

    def seen_at(self, position: int) -> float:
        return self._times[bisect.bisect_left(self._positions, position)]

    def _poll(self) -> None:
        query = "select position from ops.subscriptions where subscription = 'orders'"
        with psycopg.connect(self._database, autocommit=True) as connection:
            while self._last is None or self._positions[-1] < self._last:
                row = connection.execute(query).fetchone()
                if row and row[0] > self._positions[-1]:
                    self._times.append(time.perf_counter())
                    self._positions.append(row[0])
                time.sleep(POLL_SECONDS)


def check_rows(database: str, run_id: str, count: int) -> None:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select count(*) from shop.orders where starts_with(order_id, %s)", (run_id,)
        ).fetchone()
    if row != (count,):
        raise RuntimeError(f"{row} of {count} orders arrived")


@contextmanager
def processes(database_url: str) -> Iterator[str]:
    """The app and the stand-in, knowing each other; gives the app's address."""
    app_port, inngest_port = free_port(), free_port()
    app_url, inngest_url = f"http://127.0.0.1:{app_port}", f"http://127.0.0.1:{inngest_port}"
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        env = {**os.environ, "DATABASE_URL": database_url, "PENSTOCK_ENV": "local", "INNGEST_DEV": inngest_url}
        env["PENSTOCK_STORAGE_FOLDER"] = folder
        server = ["penstock.local.inngest_server", "--database", f"{folder}/inngest.db", "-u", f"{app_url}/api/inngest"]
        commands = [
            ["uvicorn", "app.main:app", "--port", str(app_port), "--log-level", "warning", "--no-access-log"],
            [*server, "--port", str(inngest_port), "--poll-interval", "1"],
        ]
        started = [subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=env) for command in commands]
        try:
            wait_until_registered(inngest_url)
            yield app_url
        finally:
            for process in started:
                process.terminate()
            for process in started:
                process.wait(20)


def wait_until_registered(inngest_url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(f"{inngest_url}/dev", timeout=2).json()["functions"]:
                return
        except (httpx.HTTPError, ValueError):
            pass
        if time.monotonic() > deadline:
            raise RuntimeError("the app did not register with the stand-in within a minute")
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
