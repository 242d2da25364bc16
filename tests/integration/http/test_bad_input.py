"""Whatever is sent to whichever route: a problem that names the field, never a 500, never a partial write."""

import json
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest

from penstock.http.app import create_app
from penstock.http.parameters import Problem
from penstock.http.routing import StrictRoute
from penstock.settings import Settings
from tests.integration.http.conftest import Api
from tests.tickets import DOMAIN, FUNCTIONS

EVENT = {"event_type": "T", "payload": {}}
APPEND = {"expected_version": "any", "events": [EVENT]}
LINE = {"part": "MUG", "quantity": 1, "price": "1.00"}
TICKET = {"ticket_id": "T-2"}
DEEP = json.loads("[" * 70 + "]" * 70)
STREAM = "/v1/streams/ticket/T-1/events"


def event(**fields) -> dict:
    return {**APPEND, "events": [{**EVENT, **fields}]}


def ticket(**fields) -> dict:
    return {**TICKET, **fields}


BODIES: list[tuple[str, object, str]] = [
    (STREAM, {}, "expected_version"),
    (STREAM, [], "body"),
    (STREAM, "text", "body"),
    (STREAM, None, "body"),
    (STREAM, {**APPEND, "colour": 1}, "colour"),
    (STREAM, {**APPEND, "expected_version": "some"}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": -1}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": True}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": 1.5}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": "1"}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": 2**31}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": None}, "expected_version"),
    (STREAM, {**APPEND, "expected_version": {}}, "expected_version"),
    (STREAM, {**APPEND, "events": []}, "events"),
    (STREAM, {**APPEND, "events": {}}, "events"),
    (STREAM, {**APPEND, "events": [EVENT] * 1001}, "events"),
    (STREAM, {**APPEND, "events": [EVENT, 5]}, "events[1]"),
    (STREAM, event(colour=1), "events[0].colour"),
    (STREAM, event(event_type=""), "events[0].event_type"),
    (STREAM, event(event_type="x" * 201), "events[0].event_type"),
    (STREAM, event(event_type=5), "events[0].event_type"),
    (STREAM, event(payload=[]), "events[0].payload"),
    (STREAM, event(payload=None), "events[0].payload"),
    (STREAM, event(payload={"deep": DEEP}), "events[0].payload.deep"),
    (STREAM, event(id="no-uuid"), "events[0].id"),
    (STREAM, event(id=5), "events[0].id"),
    (STREAM, event(schema_version=0), "events[0].schema_version"),
    (STREAM, event(schema_version=2**31), "events[0].schema_version"),
    (STREAM, event(schema_version="1"), "events[0].schema_version"),
    (STREAM, event(metadata=[]), "events[0].metadata"),
    (STREAM, event(metadata={"correlation_id": 5}), "events[0].metadata.correlation_id"),
    (STREAM, event(metadata={"causation_id": "x" * 201}), "events[0].metadata.causation_id"),
    (STREAM, event(metadata={"occurred_at": "yesterday"}), "events[0].metadata.occurred_at"),
    (STREAM, event(metadata={"occurred_at": "0001-01-01T00:00:00+14:00"}), "events[0].metadata.occurred_at"),
    ("/v1/tickets", {}, "ticket_id"),
    ("/v1/tickets", [], "body"),
    ("/v1/tickets", ticket(colour="red"), "colour"),
    ("/v1/tickets", ticket(ticket_id="x" * 201), "ticket_id"),
    ("/v1/tickets", ticket(title=7), "title"),
    ("/v1/tickets", ticket(lines=[{**LINE, "quantity": 0}]), "lines[0].quantity"),
    ("/v1/tickets", ticket(lines=[{**LINE, "quantity": 2**31}]), "lines[0].quantity"),
    ("/v1/tickets", ticket(lines=[{**LINE, "quantity": 1.5}]), "lines[0].quantity"),
    ("/v1/tickets", ticket(lines=[{**LINE, "price": "1e3"}]), "lines[0].price"),
    ("/v1/tickets", ticket(lines=[{**LINE, "price": "NaN"}]), "lines[0].price"),
]
RAW: list[tuple[bytes, str]] = [
    (b"", "body"),
    (b"{", "body"),
    (b"\xff\xfe{}", "body"),
    (b'{"expected_version": NaN, "events": []}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": NaN}}]}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": Infinity}}]}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": 1e400}}]}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": 1e-400}}]}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": 0.12345678901234567891}}]}', "body"),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": ' + b"9" * 1001 + b"}}]}", "body"),
    (
        b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"n": 1e-99999999999999999999}}]}',
        "body",
    ),
    (
        b'{"expected_version": "any", "events": [{"event_type": "T\\u0000", "payload": {}}]}',
        "events[0].event_type",
    ),
    (
        b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"a\\u0000": 1}}]}',
        "a key in events[0].payload",
    ),
    (
        b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"a": "\\ud800"}}]}',
        "events[0].payload.a",
    ),
    (b'{"expected_version": "any", "events": [{"event_type": "T", "payload": {"a": 1, "a": 2}}]}', "body"),
    (b"[" * 100_000, "body"),
]
PATHS: list[tuple[str, str, str | None]] = [
    ("POST", f"/v1/streams/{'x' * 101}/T-1/events", "aggregate_type"),
    ("POST", f"/v1/streams/ticket/{'x' * 201}/events", "aggregate_id"),
    ("POST", "/v1/streams/tic%00ket/T-1/events", "aggregate_type"),
    ("POST", "/v1/streams/ticket/T%001/events", "aggregate_id"),
    ("POST", "/v1/streams/ticket/%FF/events", "path"),
    ("GET", "/v1/streams/ticket/%00/events", "aggregate_id"),
    ("GET", "/v1/streams/ticket/T-1/events?after_version=-1", "after_version"),
    ("GET", "/v1/streams/ticket/T-1/events?after_version=2147483648", "after_version"),
    ("GET", "/v1/streams/ticket/T-1/events?limit=0", "limit"),
    ("GET", "/v1/streams/ticket/T-1/events?limit=1001", "limit"),
    ("GET", "/v1/streams/ticket/T-1/events?limit=many", "limit"),
    ("GET", "/v1/streams/ticket/T-1/events?offset=5", "offset"),
    ("GET", "/v1/events?after=-1", "after"),
    ("GET", "/v1/events?after=9223372036854775808", "after"),
    ("GET", "/v1/events?event_type=", "event_type[0]"),
    ("GET", "/v1/events?event_type=%00", "event_type"),
    ("GET", "/v1/aggregates/order/A-1?at_version=0", "at_version"),
    ("GET", "/v1/aggregates/order/A-1?at=yesterday", "at"),
    ("GET", "/v1/aggregates/order/A-1?at=2026-11-21T09:30:00", "at"),
    ("GET", "/v1/tickets/T-1?wait_for=-1", "wait_for"),
    ("GET", "/v1/tickets/T-1?wait_for=soon", "wait_for"),
    ("GET", f"/v1/tickets/{'x' * 201}", "ticket_id"),
    ("GET", "/v1/tickets/", "ticket_id"),
    ("GET", "/v1/views/tickets_by_status?after=nonsense", "after"),
    ("GET", "/v1/views/tickets_by_status?after=%00", "after"),
    ("GET", "/v1/views/tickets_by_status?limit=-1", "limit"),
    ("GET", "/v1/runs?status=odd", "status"),
    ("GET", "/v1/runs?before=0", "before"),
    ("GET", "/v1/runs?pipeline=", "pipeline"),
    ("GET", "/v1/imports?limit=x", "limit"),
    ("GET", "/v1/imports/no-uuid", "import_id"),
    ("GET", "/v1/imports/no-uuid/rejects", "import_id"),
    ("GET", "/v1/alerts?x=1", "x"),
    ("GET", "/metrics?x=1", "x"),
    ("GET", "/health?x=1", "x"),
]
MISSING = [
    ("GET", "/v1/streams/ticket/T-9/events"),
    ("GET", "/v1/aggregates/ticket/T-9"),
    ("GET", "/v1/tickets/T-9"),
    ("GET", "/v1/views/secrets"),
    ("POST", "/v1/views/event_store/refresh"),
    ("POST", "/v1/views/tickets_by_status;drop table/refresh"),
    ("GET", f"/v1/imports/{uuid4()}"),
    ("GET", f"/v1/imports/{uuid4()}/rejects"),
    ("POST", "/v1/webhooks/nobody"),
    ("GET", "/v2/events"),
    ("GET", "/dashboard/../main.py"),
    ("GET", "/dashboard/%2e%2e/main.py"),
]


@pytest.fixture
def settled(api: Api) -> Iterator[Api]:
    """An app with a ticket; whatever a test sends must leave the store as it is."""
    api.http.post("/v1/tickets", json={"ticket_id": "T-2"})
    before = written(api.settings)
    yield api
    assert written(api.settings) == before, "a refused request has written something"


def written(settings: Settings) -> tuple:
    with psycopg.connect(settings.database_url) as connection:
        return connection.execute(
            "select (select count(*) from public.event_store), (select sum(version) from penstock.streams),"
            " (select count(*) from raw.imports), (select count(*) from raw.webhook_inbox)"
        ).fetchone()


def assert_problem(answer, status: int) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    Problem.model_validate(problem)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:penstock:problem:")
    assert problem["correlation_id"] == answer.headers["x-correlation-id"]
    return problem


def assert_names(problem: dict, field: str) -> None:
    fields = [fault["field"] for fault in problem["errors"]]
    assert any(each == field or each.startswith((f"{field}.", f"{field}[")) for each in fields), problem
    assert all(fault["reason"] for fault in problem["errors"])


def test_bodies(settled: Api) -> None:
    for path, body, field in BODIES:
        problem = assert_problem(settled.http.post(path, content=json.dumps(body), headers=JSON), 422)
        assert_names(problem, field)


def test_raw_bodies(settled: Api) -> None:
    for body, field in RAW:
        problem = assert_problem(settled.http.post(STREAM, content=body, headers=JSON), 422)
        assert_names(problem, field)


def test_paths_and_parameters(settled: Api) -> None:
    for method, path, field in PATHS:
        answer = settled.http.request(method, path, json=APPEND if method == "POST" else None)
        assert_names(assert_problem(answer, 422), field)


def test_what_is_not_there(settled: Api) -> None:
    for method, path in MISSING:
        problem = assert_problem(settled.http.request(method, path), 404)
        assert problem["type"] == "urn:penstock:problem:not-found"


def test_methods_that_are_not_there(settled: Api) -> None:
    for method, path, allowed in (
        ("DELETE", STREAM, "GET, POST"),
        ("PUT", "/v1/tickets", "POST"),
        ("PATCH", "/v1/views/tickets_by_status", "GET"),
        ("POST", "/health", "GET"),
    ):
        answer = settled.http.request(method, path)
        assert_problem(answer, 405)
        assert answer.headers["allow"] == allowed


def test_media_types(settled: Api) -> None:
    body = json.dumps(APPEND)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/xml", "", "json"):
        assert_problem(settled.http.post(STREAM, content=body, headers={"content-type": kind}), 415)


def test_import_options(settled: Api) -> None:
    for query, field in (
        ("mapping=%7B", "mapping"),
        ("mapping=5", "mapping"),
        ("mapping=%7B%22a%22%3A5%7D", "mapping.a"),
        ("constants=%5B%5D", "constants"),
        ("dates=%7B%22a%22%3A%22%5Cu0000%22%7D", "dates.a"),
        ("format=exe", "format"),
        ("encoding=klingon", "encoding"),
        ("delimiter=ab", "delimiter"),
        ("delimiter=a", "delimiter"),
        ("header=maybe", "header"),
        ("decimal=;", "decimal"),
        ("reject_limit=-1", "reject_limit"),
        ("colour=red", "colour"),
    ):
        answer = settled.http.post(f"/v1/imports/tickets?{query}", content=b"a,b\n1,2\n")
        assert_names(assert_problem(answer, 422), field)
    assert_names(assert_problem(settled.http.post("/v1/imports/tickets"), 422), "file")
    assert_problem(settled.http.post("/v1/imports/event_store", content=b"a\n1\n"), 404)
    form = {"files": {"other": ("a.csv", b"a\n1\n")}}
    assert_names(assert_problem(settled.http.post("/v1/imports/tickets", **form), 422), "file")
    broken = settled.http.post(
        "/v1/imports/tickets", content=b"nonsense", headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert 400 <= assert_problem(broken, broken.status_code)["status"] < 500


def test_every_route_says_who_may_call_it(settings: Settings) -> None:
    ours = [
        route
        for route in create_app(DOMAIN, functions=FUNCTIONS, settings=settings).routes
        if isinstance(route, StrictRoute)
    ]
    assert len(ours) > 25
    public = {route.path for route in ours if route.openapi_extra["x-scope"] is None}
    by_signature = {"/v1/webhooks/{source}", "/v1/uploads/{token}"}
    assert public == {"/health", "/ready", "/", "/dashboard/{name:path}", "/docs", "/docs/{name:path}"} | by_signature


JSON = {"content-type": "application/json"}
