"""Postgres, the app and the Inngest stand-in as processes that can be killed at any moment, and started again."""

import base64
import random
import shutil
import socket
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg

from penstock.local.postgres import PORTS, EmbeddedPostgres
from penstock.local.postmaster import living_postmaster
from penstock.postgres.pool import close_pools
from tests import throwaway
from tests.e2e.inngest_stack import Stack, running
from tests.real.crash_load import WEBHOOK_KEY

BACKEND, POSTMASTER, POSTGRES = "a backend", "the postmaster", "all of Postgres"
APP, INNGEST = "app", "inngest"
START_SECONDS = 90


@dataclass
class Stage:
    postgres: EmbeddedPostgres
    stack: Stack
    luck: random.Random
    killed: list[str] = field(default_factory=list)

    def query(self, text: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.stack.database_url, autocommit=True) as connection:
            return connection.execute(text.encode()).fetchall()

    def column(self, text: str) -> list[Any]:
        return [row[0] for row in self.query(text)]

    def kill(self, victim: str) -> None:
        self.killed.append(victim)
        if victim in (APP, INNGEST):
            self.stack.kill(victim)
        else:
            for process in self._processes(victim):
                process.kill()

    def start_again(self, victim: str) -> None:
        """A server that lost a backend comes back by itself."""
        if victim == APP:
            self.stack.start_app()
        elif victim == INNGEST:
            self.stack.start_inngest()
        elif victim != BACKEND:
            self.postgres.start()

    def _processes(self, victim: str) -> list[psutil.Process]:
        postmaster = living_postmaster(self.postgres.data)
        assert postmaster is not None
        server = psutil.Process(postmaster.pid)
        backends = server.children()
        return {
            BACKEND: [self.luck.choice(backends)],
            POSTMASTER: [server],
            POSTGRES: [server, *backends],
        }[victim]

    def runs_that_gave_up(self) -> dict[str, str]:
        """Run and function, from the stand-in's own file, which it lets nobody read while it lives."""
        self.stack.kill(INNGEST)
        try:
            with closing(sqlite3.connect(self.stack.folder / "inngest.db")) as file:
                rows = file.execute("select id, function_id from runs where status = 'Failed'").fetchall()
        finally:
            self.stack.start_inngest()
        return dict(rows)


@contextmanager
def raised(seed: int, settings: Mapping[str, str] | None = None) -> Iterator[Stage]:
    """A stage with a database of its own, on a disk, as safe as Postgres is by default."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-crash-"))
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", settings=settings)
    try:
        url = postgres.start()
        throwaway.migrate(url, throwaway.EVERYTHING)
        with psycopg.connect(url, autocommit=True) as connection:
            assert connection.execute("show fsync").fetchone() == ("on",)
            connection.execute("create table public.told (listener text, event_id uuid)")
        env = {"WEBHOOK_SECRETS": f"shop=whsec_{base64.b64encode(WEBHOOK_KEY).decode()}"}
        options = {"app_port": _quiet_port(), "inngest_port": _quiet_port(), "start_seconds": START_SECONDS}
        with running(folder, url, app="tests.real.crash_app:app", env=env, **options) as stack:
            yield Stage(postgres, stack, random.Random(seed))
    finally:
        for log in folder.glob("*.log"):
            print(log.name, *log.read_text().splitlines()[-30:], sep="\n  ")
        close_pools()
        postgres.remove()
        shutil.rmtree(folder)


def _quiet_port() -> int:
    """Not one that systems hand out to outgoing connections: a client of a killed server would be given it, and then
    talk to itself while the server cannot start."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
