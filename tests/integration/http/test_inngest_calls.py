"""Inngest's calls, signed: who may call, when, and how often; and that nobody else waits for them."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import jcs
import psycopg
import pytest
from fastapi import FastAPI

from penstock.http import errors, inngest_signature
from penstock.http.middleware import Middleware
from penstock.settings import Settings
from tests.integration.http.conftest import serving
from tests.integration.http.test_bad_input import assert_problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own pydantic models
    import inngest

    from penstock.http.inngest_calls import InngestCalls

KEY, FALLBACK = "signkey-prod-" + "a1" * 32, "signkey-prod-" + "b2" * 32
URL = "/api/inngest?fnId=calls-count&stepId=step"
CALL = {
    "ctx": {"attempt": 0, "disable_immediate_execution": False, "run_id": "R1", "stack": {"stack": []}},
    "event": {"id": "e1", "name": "x", "data": {"ratio": 0.5, "name": "Zoë"}, "ts": 1},
    "events": [{"id": "e1", "name": "x", "data": {}, "ts": 1}],
    "steps": {},
    "use_api": False,
}
BODY = jcs.canonicalize(CALL)


@dataclass
class Signed:
    """An app that Inngest calls with signatures; `runs` has the thread of each run of its function."""

    http: httpx.Client
    client: inngest.Inngest
    settings: Settings
    runs: list[str] = field(default_factory=list)

    def post(self, header: str | None, body: bytes = BODY, url: str = URL) -> httpx.Response:
        return self.call("POST", header, body, url)

    def call(self, method: str, header: str | None, body: bytes = b"", url: str = URL, **more: str) -> httpx.Response:
        signature = {} if header is None else {"x-inngest-signature": header}
        encoded = {name: value.encode() for name, value in (signature | more).items()}
        return self.http.request(method, url, content=body, headers=encoded)


def signature(body: bytes = BODY, key: str = KEY, age: float = 0) -> str:
    at = str(int(time.time() - age))
    mac = hmac.new(key.removeprefix("signkey-prod-").encode(), body + at.encode(), hashlib.sha256)
    return f"t={at}&s={mac.hexdigest()}"


def app_of(settings: Settings, client: inngest.Inngest, runs: list[str]) -> FastAPI:
    @client.create_function(fn_id="count", trigger=inngest.TriggerEvent(event="x"))
    async def count(ctx: inngest.Context) -> int:
        runs.append(threading.current_thread().name)
        return 1

    app = FastAPI()
    app.state.settings = lambda: settings
    app.add_middleware(Middleware, settings=lambda: settings)
    errors.install(app)
    app.router.routes.extend(InngestCalls(client, [count]).routes)
    return app


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> inngest.Inngest:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", FALLBACK)
    nowhere = "http://127.0.0.1:9"
    return inngest.Inngest(app_id="calls", is_production=True, signing_key=KEY, api_base_url=nowhere)


@pytest.fixture
def signed(settings: Settings, client: inngest.Inngest) -> Iterator[Signed]:
    runs: list[str] = []
    with serving(app_of(settings, client, runs)) as http:
        yield Signed(http, client, settings, runs)


def test_a_signed_call_runs_once_however_often_it_is_sent(signed: Signed) -> None:
    header = signature(age=10)
    assert signed.post(header).json() == 1
    for url in (URL, f"{URL}&trace=2", URL.replace("&stepId=step", "&stepId=step&x=%00")):
        assert_problem(signed.post(header, url=url), 409)
    assert len(signed.runs) == 1


def test_another_process_knows_of_the_call(signed: Signed) -> None:
    header = signature()
    assert signed.post(header).json() == 1
    with serving(app_of(signed.settings, signed.client, signed.runs)) as http:
        assert_problem(Signed(http, signed.client, signed.settings).post(header), 409)
    assert len(signed.runs) == 1


def test_calls_that_come_together_run_once(signed: Signed) -> None:
    header, answers = signature(), []
    threads = [threading.Thread(target=lambda: answers.append(signed.post(header).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 7
    assert len(signed.runs) == 1


def test_an_attempt_that_is_signed_anew_runs_again(signed: Signed) -> None:
    """Inngest signs each attempt with its time; the same body may also be meant for two steps of one second."""
    assert signed.post(signature(age=3)).json() == 1
    assert signed.post(signature(age=2)).json() == 1
    header = signature()
    steps = [signed.post(header, url=f"/api/inngest?fnId=calls-count&stepId={name}") for name in ("one", "two")]
    assert [answer.status_code for answer in steps] == [200, 200]


def test_calls_are_forgotten_when_their_signature_is_too_old_to_be_used(
    signed: Signed, connection: psycopg.Connection
) -> None:
    connection.execute(
        "insert into ops.signed_calls select 'old ' || n, now() - interval '16 minutes' from generate_series(1, 5) as n"
        " union all select 'new', now() - interval '14 minutes'"
    )
    assert signed.post(signature()).status_code == 200
    calls = [call for (call,) in connection.execute("select call from ops.signed_calls order by seen_at")]
    assert len(calls) == 2
    assert calls[0] == "new"


@pytest.mark.parametrize("key", [KEY, FALLBACK])
def test_both_keys_fit_while_they_are_exchanged(signed: Signed, key: str) -> None:
    assert signed.post(signature(key=key)).json() == 1


def test_a_body_in_another_form_than_the_signed_one_fits(signed: Signed) -> None:
    body = json.dumps(CALL, indent=2).encode()
    assert body != BODY
    assert signed.post(signature(BODY), body).json() == 1


def _no_time() -> str:
    return "s=" + hmac.new(b"a1" * 32, BODY, hashlib.sha256).hexdigest()


def test_any_other_signature_is_refused(signed: Signed) -> None:
    good = signature()
    for header in (
        None,
        "",
        "t=1&s=é",
        f"t=1&s={'é' * 64}",
        f"t={int(time.time())}&s={'é' * 64}",
        f"t=٣&s={'0' * 64}",
        good.upper(),
        good[:-1],
        good + "0",
        f"{good}&t=1",
        _no_time(),
        signature(age=365 * 86400),
        signature(age=330),
        signature(age=-330),
        signature(key="signkey-prod-" + "c3" * 32),
        signature(key="signkey-prod-"),
        signature(b"{}"),
    ):
        assert_problem(signed.post(header), 401)
        assert_problem(signed.call("GET", header), 401)
        if header is not None:
            assert_problem(signed.call("PUT", header, BODY), 401)
    headers = [("x-inngest-signature", good), ("x-inngest-signature", good)]
    assert_problem(signed.http.post(URL, content=BODY, headers=headers), 401)
    assert signed.runs == []


def test_another_signing_key_is_named(signed: Signed) -> None:
    detail = assert_problem(signed.post(signature(key="signkey-prod-" + "0f" * 32)), 401)["detail"]
    assert detail.startswith("the signature does not fit: INNGEST_SIGNING_KEY is not the key of the environment")


def test_what_is_not_json_or_too_much_of_it_is_refused(signed: Signed) -> None:
    for body in (b"[" * 100_000, b"\xff", b"[" + b"[]," * 300_000 + b"[]]", b"[NaN]", b"[1e-99999999999999999999]"):
        assert_problem(signed.post(signature(b"{}"), body), 401)


def test_nothing_is_parsed_before_form_and_age_are_right_and_nothing_on_the_loop(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bool] = []
    canonical = inngest_signature._canonical

    def recorded(body: bytes) -> bytes | None:
        parsed.append(_on_a_loop())
        return canonical(body)

    monkeypatch.setattr(inngest_signature, "_canonical", recorded)
    for header in (None, "t=1&s=2", signature(age=400), signature(age=-400)):
        signed.post(header)
    assert parsed == []
    signed.post(signature(b"{}"))
    assert parsed == [False]
    signed.post(signature())
    assert parsed == [False]
    assert signed.runs == ["inngest-calls"]


def test_an_inspection_and_a_registration_by_inngest_are_signed(signed: Signed) -> None:
    assert signed.call("GET", signature(b"")).json()["function_count"] == 1
    body = b'{"url":"http://127.0.0.1/api/inngest"}'
    answer = signed.call("PUT", signature(body), body, **{"x-inngest-sync-kind": "in_band"})
    assert (answer.status_code, answer.json()["app_id"]) == (200, "calls")
    assert_problem(signed.call("PUT", signature(body, age=400), body, **{"x-inngest-sync-kind": "in_band"}), 401)
    assert signed.call("PUT", None, body, **{"x-inngest-sync-kind": "in_band"}).status_code == 401


def test_an_unsigned_registration_only_asks_the_app_to_register_itself(
    signed: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bytes] = []
    loads = json.loads
    monkeypatch.setattr(json, "loads", lambda text, **how: seen.append(text) or loads(text, **how))
    answer = signed.call("PUT", None, b"[" + b"[]," * 100_000 + b"[]]", "/api/inngest")
    assert answer.status_code not in (200, 401)  # there is no Inngest at the other end
    assert not any(len(text) > 10_000 for text in seen)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
