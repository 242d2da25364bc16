"""Penstock in an app that exists: both answer for what is theirs, and neither takes anything from the other."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from penstock.errors import SettingsError
from penstock.http.background import Notifiers
from penstock.http.mounting import mount
from penstock.local.testing import serving
from penstock.settings import Settings
from tests.tickets import DOMAIN, FUNCTIONS


@pytest.fixture
def seen() -> SimpleNamespace:
    return SimpleNamespace(lifespan=[])


@pytest.fixture
def host(settings: Settings, seen: SimpleNamespace) -> Iterator[httpx.Client]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
        seen.lifespan.append("began")
        yield {"theirs": "kept"}
        seen.lifespan.append("ended")

    app = FastAPI(lifespan=lifespan, title="Theirs")

    @app.get("/hello/")
    def hello() -> str:
        return "still here"

    silent = Notifiers(lambda: None, lambda: None, lambda name, id, data: None)
    mount(app, DOMAIN, functions=FUNCTIONS, settings=settings, notifiers=silent)

    @app.get("/late")
    def late() -> str:
        return "routes may also follow"

    with serving(app) as address, httpx.Client(base_url=address, timeout=30, follow_redirects=True) as client:
        yield client


def test_the_host_keeps_its_routes_redirects_errors_and_docs(host: httpx.Client) -> None:
    assert host.get("/hello/").json() == "still here"
    assert host.get("/hello").json() == "still here"
    assert host.get("/late").json() == "routes may also follow"
    assert host.get("/nowhere").json() == {"detail": "Not Found"}
    assert host.get("/openapi.json").json()["info"]["title"] == "Theirs"


def test_penstock_answers_on_its_own_paths_with_its_own_errors(host: httpx.Client) -> None:
    assert host.post("/v1/tickets", json={"ticket_id": "T-1"}).json()["ticket_id"] == "T-1"
    assert host.get("/ready").json() == {"status": "ready", "missing": []}
    assert host.get("/v1/runs?nothing=1").json()["type"] == "urn:penstock:problem:invalid-input"
    refused = host.delete("/v1/tickets")
    assert (refused.status_code, refused.headers["content-type"]) == (405, "application/problem+json")
    assert "<html" in host.get("/").text


def test_inngest_finds_the_functions_there(host: httpx.Client) -> None:
    assert host.get("/api/inngest").json()["function_count"] == len(FUNCTIONS)


def test_both_lifespans_run(host: httpx.Client, seen: SimpleNamespace) -> None:
    assert seen.lifespan == ["began"]


def test_wrong_settings_stop_the_host_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong() -> Settings:
        raise SettingsError("a variable is wrong")

    monkeypatch.setattr("penstock.http.app.get_settings", wrong)
    app = FastAPI()
    mount(app, DOMAIN)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pass

    with pytest.raises(SettingsError, match="a variable is wrong"):
        asyncio.run(start())
