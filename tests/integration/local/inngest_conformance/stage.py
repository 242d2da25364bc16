"""A stand-in and apps of the real `inngest` SDK beside it, over real HTTP on free ports, and what they did."""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fastapi
import httpx
import inngest
import inngest.fast_api
import uvicorn

from penstock.local.inngest_server import InngestServer
from penstock.local.inngest_timing import FAST

ROOT = Path(__file__).parents[4]
Functions = Callable[[inngest.Inngest, "Journal"], list[inngest.Function[Any]]]


@dataclass(frozen=True)
class Note:
    what: str
    case: str
    at: float
    data: dict[str, Any]


@dataclass
class Journal:
    """What functions and steps did, in order; `calls` are the answers that the SDK gave to the stand-in."""

    notes: list[Note] = field(default_factory=list)
    calls: list[tuple[str, str, int]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, what: str, case: object, **data: Any) -> None:
        with self.lock:
            self.notes.append(Note(what, str(case), time.time(), data))

    def of(self, case: str, what: str | None = None) -> list[Note]:
        with self.lock:
            return [note for note in self.notes if note.case == case and what in (None, note.what)]

    def wait(self, case: str, what: str, count: int = 1, seconds: float = 60.0) -> list[Note]:
        """Wait until there are as many notes, and return them all; fail with what there is instead."""
        end = time.monotonic() + seconds
        while len(found := self.of(case, what)) < count:
            assert time.monotonic() < end, f"waited for {count} × {what}, have {self.of(case)}"
            time.sleep(0.005)
        return found


@contextmanager
def in_thread(server: uvicorn.Server, sockets: list[socket.socket] | None = None) -> Iterator[None]:
    thread = threading.Thread(target=server.run, args=(sockets,), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


@dataclass(frozen=True)
class Stage:
    """The running pair: `server_url` of the stand-in, `app_url` where the SDK serves, a client, the journal."""

    server_url: str
    app_url: str
    client: inngest.Inngest
    journal: Journal
    http: httpx.Client

    def send(self, name: str, case: object, count: int = 1, **data: Any) -> list[str]:
        events = [inngest.Event(name=name, data={"case": str(case), "n": n} | data) for n in range(count)]
        return self.client.send_sync(events)

    def runs(self, event_id: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"{self.server_url}/v1/events/{event_id}/runs")
        runs: list[dict[str, Any]] = answer.raise_for_status().json()["data"]
        return runs

    def ended(self, event_id: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait for the end of an event's only run."""
        end = time.monotonic() + seconds
        while not (runs := self.runs(event_id)) or not runs[0]["ended_at"]:
            assert time.monotonic() < end, runs
            time.sleep(0.01)
        assert len(runs) == 1
        return runs[0]


def make_client(server_url: str, app_id: str = "shop") -> inngest.Inngest:
    logger = logging.getLogger("inngest_conformance")
    return inngest.Inngest(
        app_id=app_id, api_base_url=server_url, event_api_base_url=server_url, is_production=False, logger=logger
    )


@contextmanager
def serving(client: inngest.Inngest, functions: list[inngest.Function[Any]], journal: Journal,
            listener: socket.socket) -> Iterator[None]:  # fmt: skip
    app = fastapi.FastAPI()

    @app.middleware("http")
    async def record(request: fastapi.Request, answer: Any) -> Any:
        response = await answer(request)
        if request.method == "POST":
            query = request.query_params
            journal.calls.append((query["fnId"], query["stepId"], response.status_code))
        return response

    inngest.fast_api.serve(app, client, functions)
    config = uvicorn.Config(app, log_level="critical", access_log=False, ws="none")
    with in_thread(uvicorn.Server(config), [listener]):
        yield


def free_listener() -> tuple[socket.socket, str]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}/api/inngest"


@contextmanager
def stage(folder: Path, functions: Functions, **options: Any) -> Iterator[Stage]:
    """Stand-in and app, registered. No pauses but those between attempts, shortened to a five-hundredth."""
    listener, app_url = free_listener()
    options = {"database": folder / "inngest.db", "time_scale": 0.002, "poll_interval": 0.0, "timing": FAST} | options
    server = InngestServer(port=0, apps=[app_url], **options)
    client, journal = make_client(server.url), Journal()
    with in_thread(server), serving(client, functions(client, journal), journal, listener), httpx.Client() as http:
        wait_for_functions(http, server.url)
        yield Stage(server.url, app_url, client, journal, http)


def wait_for_functions(http: httpx.Client, server_url: str, seconds: float = 60.0) -> list[str]:
    end = time.monotonic() + seconds
    while True:
        try:
            if functions := http.get(f"{server_url}/dev").json()["functions"]:
                return [function["id"] for function in functions]
        except httpx.HTTPError:
            pass
        assert time.monotonic() < end, "no app has registered"
        time.sleep(0.01)


def spawn(database: Path, port: int, apps: Sequence[str] = (), *options: str) -> subprocess.Popen[str]:
    """Start the stand-in as its own process, the way `penstock up` does, but without pauses."""
    command = [sys.executable, "-m", "penstock.local.inngest_server", "--port", str(port), "--database", str(database)]
    for app in apps:
        command += ["-u", app]
    env = {**os.environ, "STANDIN": "fast"}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen([*command, *options], cwd=ROOT, env=env, **streams, text=True)
