"""Keys and scopes in production, the machine's own in local mode, and what passes every request."""

import asyncio
import socket
from dataclasses import replace

import httpx
import pytest

from penstock.errors import SettingsError
from penstock.http.app import create_app
from penstock.settings import Settings, get_settings
from tests.integration.http.conftest import KEYS, Api, running
from tests.integration.http.test_bad_input import assert_problem
from tests.tickets import DOMAIN, FUNCTIONS
from tests.waiting import PATIENCE_SECONDS

APPEND = {"expected_version": "any", "events": [{"event_type": "T", "payload": {}}]}
STREAM = "/v1/streams/ticket/T-1/events"


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name]}"}


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"),
    [
        ("POST", STREAM, APPEND, {"writer", "operator"}),
        ("GET", "/v1/events", None, {"reader", "operator"}),
        ("GET", "/metrics", None, {"reader", "operator"}),
        ("GET", "/v1/live", None, {"reader", "operator"}),
        ("POST", "/v1/tickets", {"ticket_id": "T-9"}, {"writer", "operator"}),
        ("POST", "/v1/views/tickets_by_status/refresh", None, {"operator"}),
        ("GET", "/v1/dead-letters", None, {"operator"}),
        ("POST", "/v1/dead-letters/019aa1b2-0000-7000-8000-000000000000/retry", None, {"operator"}),
        ("DELETE", "/v1/dead-letters/019aa1b2-0000-7000-8000-000000000000", None, {"operator"}),
    ],
)
def test_a_key_opens_what_its_scopes_say(guarded: Api, method: str, path: str, body: object, allowed: set) -> None:
    for name in KEYS:
        with guarded.http.stream(method, path, json=body, headers=bearer(name)) as answer:
            if name in allowed:
                assert answer.status_code not in (401, 403)
            else:
                assert answer.status_code == 403
                answer.read()
                assert answer.json()["type"] == "urn:penstock:problem:forbidden"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer wrong", "Basic eDp5", KEYS["writer"], "Bearer é"])
def test_without_a_key_nothing_is_read_or_parsed(guarded: Api, header: str | None) -> None:
    headers = {"content-type": "application/json"}
    if header is not None:
        headers["authorization"] = header.encode("latin-1")
    answer = guarded.http.post(STREAM, content=b"not even JSON", headers=headers)
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_actor_is_the_keys_name(guarded: Api) -> None:
    guarded.http.post(STREAM, json=APPEND, headers=bearer("writer"))
    [event] = guarded.http.get("/v1/events", headers=bearer("reader")).json()["events"]
    assert event["metadata"]["actor"] == "writer"


def test_health_readiness_and_the_page_need_no_key(guarded: Api) -> None:
    assert guarded.http.get("/health").json() == {"status": "ok"}
    assert guarded.http.get("/ready").json() == {"status": "ready", "missing": []}
    assert guarded.http.get("/").status_code == 200


def test_a_body_is_refused_by_its_announced_length_before_it_is_sent(guarded: Api) -> None:
    address = (guarded.http.base_url.host, guarded.http.base_url.port)
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"POST /v1/tickets HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_a_body_is_refused_by_its_counted_length(guarded: Api) -> None:
    def chunks(number: int):
        for _ in range(number):
            yield b" " * 1000

    headers = {"content-type": "application/json", **bearer("writer")}
    answer = guarded.http.post(STREAM, content=chunks(11), headers=headers)
    assert assert_problem(answer, 413)["type"] == "urn:penstock:problem:body-too-large"
    assert_problem(guarded.http.post(STREAM, content=chunks(10), headers=headers), 422)
    assert_problem(guarded.http.post("/v1/webhooks/nobody", content=chunks(11)), 413)
    form = guarded.http.post("/v1/imports/tickets", files={"file": ("a.csv", b"x" * 10_000)}, headers=bearer("writer"))
    assert_problem(form, 413)


def test_the_ids_of_a_request_come_back(api: Api) -> None:
    plain = api.http.get("/health")
    assert plain.headers["x-correlation-id"] == plain.headers["x-request-id"]
    given = api.http.get("/health", headers={"x-correlation-id": "basket-7"})
    assert given.headers["x-correlation-id"] == "basket-7"
    for odd in ("a b", "x" * 129, "<script>", "é"):
        answer = api.http.get("/health", headers={"x-correlation-id": odd.encode("latin-1")})
        assert answer.headers["x-correlation-id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "localhost:8000"}, 200),
        ({"host": "127.0.0.1"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "app.localhost"}, 200),
        ({"host": "host.docker.internal:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "localhost.evil.example:8000"}, 403),
        ({"host": "[::1].evil.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[broken"}, 403),
    ],
)
def test_local_mode_answers_this_machine_alone(api: Api, headers: dict[str, str], status: int) -> None:
    answer = api.http.get("/v1/events", headers=headers)
    assert answer.status_code == status, answer.text


def test_production_does_not_look_at_host_or_origin(guarded: Api) -> None:
    headers = {"host": "shop.example", "origin": "https://shop.example", **bearer("reader")}
    assert guarded.http.get("/v1/events", headers=headers).status_code == 200


def test_a_page_is_served_strictly(api: Api) -> None:
    answer = api.http.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_database_that_is_gone_is_a_503_without_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.postgres.pool.CONNECT_TIMEOUT_SECONDS", 1)
    gone = Settings(database_url="postgresql://someone:hidden@127.0.0.1:1/nowhere", environment="local")
    with running(gone) as api:
        answer = api.http.get("/v1/events", timeout=PATIENCE_SECONDS)
        problem = assert_problem(answer, 503)
        assert answer.headers["retry-after"].isdigit()
        for secret in ("hidden", "someone", "127.0.0.1:1", "nowhere"):
            assert secret not in answer.text
        assert problem["type"] == "urn:penstock:problem:database-unavailable"
        ready = api.http.get("/ready", timeout=PATIENCE_SECONDS)
        assert (ready.status_code, ready.json()["missing"]) == (503, ["the database cannot be reached"])
        assert api.http.get("/health").status_code == 200


def test_an_unforeseen_error_tells_nothing_but_where_it_was_logged(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr("penstock.http.resources.events.page_of_store", broken)
    with running(replace(settings)) as api:
        answer = api.http.get("/v1/events")
    problem = assert_problem(answer, 500)
    assert "hunter2" not in answer.text
    assert problem["correlation_id"] in caplog.text
    assert "hunter2" in caplog.text


def test_wrong_settings_stop_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "PENSTOCK_ENV", "PENSTOCK_API_KEYS"):
        monkeypatch.delenv(name, raising=False)
    get_settings.cache_clear()
    app = create_app(DOMAIN, functions=FUNCTIONS)

    async def start() -> None:
        async with app.router.lifespan_context(app):
            pass

    with pytest.raises(SettingsError, match=r"DATABASE_URL is not set.*PENSTOCK_API_KEYS is not set"):
        asyncio.run(start())


def test_without_a_start_the_first_request_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    get_settings.cache_clear()

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(DOMAIN, functions=FUNCTIONS)), base_url="http://x"
        ) as http:
            return await http.get("/v1/events")

    problem = assert_problem(asyncio.run(call()), 500)
    assert "DATABASE_URL is not set" in problem["detail"]
