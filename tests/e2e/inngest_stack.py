"""The functions at work: a small app that serves them, the local Inngest stand-in, and a database, as processes."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psycopg

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
T = TypeVar("T")


def wait_for(probe: Callable[[], T], seconds: float = 60.0, what: str = "it") -> T:
    """What `probe` returns, once that is true."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)
    return found


@dataclass
class Stack:
    """Two processes beside a database; each can be stopped, killed and started again.

    With `forgets` the stand-in remembers nothing after its end, as Inngest's own development server.
    """

    folder: Path
    database_url: str
    app: str = "tests.e2e.small_app:app"
    env: Mapping[str, str] = field(default_factory=dict)
    app_port: int = field(default_factory=free_port)
    inngest_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    start_seconds: float = 60.0
    forgets: bool = False

    @property
    def app_url(self) -> str:
        return f"http://127.0.0.1:{self.app_port}"

    @property
    def inngest_url(self) -> str:
        return f"http://127.0.0.1:{self.inngest_port}"

    def start_app(self) -> None:
        command = [sys.executable, "-m", "uvicorn", self.app, "--port", str(self.app_port), "--log-level", "warning"]
        self._start("app", command)
        wait_for(lambda: _answers(f"{self.app_url}/api/inngest"), self.start_seconds, "the app")

    def start_inngest(self, *, knows_app: bool = True) -> None:
        database = ":memory:" if self.forgets else str(self.folder / "inngest.db")
        command = [sys.executable, "-m", "penstock.local.inngest_server", "--port", str(self.inngest_port)]
        command += ["--database", database, "--time-scale", "0.02"]
        command += ["-u", f"{self.app_url}/api/inngest"] if knows_app else []
        self._start("inngest", [*command, "--poll-interval", "1"])
        wait_for(lambda: _answers(f"{self.inngest_url}/health"), self.start_seconds, "the stand-in")

    def wait_until_synced(self) -> None:
        wait_for(
            lambda: httpx.get(f"{self.inngest_url}/dev").json()["functions"], self.start_seconds, "the registration"
        )

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def send(self, name: str, data: dict[str, object], event_id: str | None = None) -> None:
        """As anybody with an event key would."""
        event = {"name": name, "data": data, **({"id": event_id} if event_id else {})}
        httpx.post(f"{self.inngest_url}/e/key", json=event).raise_for_status()

    def value(self, query: str) -> object:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return row[0] if row else None

    def wait_for_value(self, query: str, expected: object, seconds: float = 60.0) -> None:
        wait_for(lambda: self.value(query) == expected, seconds, f"{expected!r} from {query}")

    def _start(self, name: str, command: list[str]) -> None:
        env = {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "PENSTOCK_ENV": "local",
            "INNGEST_DEV": self.inngest_url,
            "PENSTOCK_STORAGE_FOLDER": str(self.folder / "uploads"),
            "STANDIN": "fast",
            **self.env,
        }
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)


@contextmanager
def running(folder: Path, database_url: str, **options: Any) -> Iterator[Stack]:
    """`options` as in `Stack`."""
    stack = Stack(folder, database_url, **options)
    try:
        stack.start_app()
        stack.start_inngest()
        stack.wait_until_synced()
        yield stack
    finally:
        stack.stop()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code < 500
    except httpx.HTTPError:
        return False
