"""The app on a port of its own, over real HTTP, with no Inngest behind it: what it would send is recorded."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from inngest import Function

from penstock.domain import Domain
from penstock.errors import Unavailable
from penstock.http.app import create_app
from penstock.http.background import Notifiers
from penstock.projections import advance_all
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import ApiKey, Settings
from tests.tickets import DOMAIN, FUNCTIONS
from tests.waiting import PATIENCE_SECONDS

KEYS = {name: f"key-{name}-0123456789" for name in ("reader", "writer", "operator")}
WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Sent:
    """What the app told Inngest."""

    wakes: int = 0
    events: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    away: bool = False

    def wake(self) -> None:
        self.wakes += 1

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        if self.away:
            raise Unavailable("Inngest cannot be reached", retry_after=5)
        self.events += [(event.name, event.id, event.data) for event in events]


@dataclass
class Api:
    """A running app: `http` to call it, `settings` to look behind it, `sent` for what Inngest got."""

    http: httpx.Client
    settings: Settings
    sent: Sent

    def project(self) -> None:
        advance_all(self.settings)


@contextmanager
def running(
    settings: Settings, domain: Domain = DOMAIN, functions: Sequence[Function[Any]] = FUNCTIONS
) -> Iterator[Api]:
    sent = Sent()
    wakes = Notifiers(sent.wake, sent.wake, sent.send)
    with serving(create_app(domain, functions=functions, settings=settings, notifiers=wakes)) as http:
        yield Api(http, settings, sent)


@contextmanager
def serving(app: FastAPI) -> Iterator[httpx.Client]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", ws="none", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        with httpx.Client(base_url=_address(server, thread), timeout=60) as http:
            yield http
    finally:
        server.should_exit = True
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def _address(server: uvicorn.Server, thread: threading.Thread) -> str:
    while not server.started:
        assert thread.is_alive(), "the app did not start"
        time.sleep(0.005)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@pytest.fixture
def api(settings: Settings, tmp_path: Path) -> Iterator[Api]:
    """The app in local mode: no keys."""
    with running(as_local(settings, tmp_path)) as api:
        yield api


@pytest.fixture
def guarded(settings: Settings) -> Iterator[Api]:
    """The app as in production: three keys with a scope each, and small bodies."""
    with running(as_production(settings)) as api:
        yield api


def as_local(settings: Settings, folder: Path) -> Settings:
    return replace(settings, webhook_secrets={"shop": (WEBHOOK_SECRET,)}, storage_folder=folder)


def as_production(settings: Settings) -> Settings:
    keys = (
        ApiKey("reader", sha256(KEYS["reader"].encode()).hexdigest(), frozenset({"read"})),
        ApiKey("writer", sha256(KEYS["writer"].encode()).hexdigest(), frozenset({"write"})),
        ApiKey("operator", sha256(KEYS["operator"].encode()).hexdigest(), frozenset({"read", "write", "admin"})),
    )
    return replace(settings, environment="production", api_keys=keys, max_body_bytes=10_000)
