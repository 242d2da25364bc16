"""Waiting for read models, live events, figures for monitoring, and the document that describes it all."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from penstock.http import shared_look
from penstock.http.app import create_app
from penstock.http.documented_errors import DOCUMENTED
from penstock.http.metrics import exposition
from penstock.operations.metrics import Measurements
from penstock.postgres import pool
from penstock.settings import Settings
from tests import throwaway
from tests.integration.http.conftest import Api, running
from tests.integration.http.test_bad_input import assert_problem
from tests.tickets import DOMAIN, FUNCTIONS

TICKET = {"ticket_id": "T-1", "lines": [{"part": "MUG", "quantity": 1, "price": "1.00"}]}


def test_a_reader_waits_for_its_own_write(api: Api) -> None:
    position = api.http.post("/v1/tickets", json=TICKET).json()["position"]
    later = threading.Timer(0.5, api.project)
    later.start()
    began = time.monotonic()
    answer = api.http.get("/v1/tickets/T-1", params={"wait_for": position})
    later.join()
    assert answer.status_code == 200, answer.text
    assert time.monotonic() - began >= 0.4
    assert answer.json()["position"] >= position


def test_waiting_ends_with_a_503_that_says_where_the_model_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.http.read_your_writes.WAIT_SECONDS", 0.2)
    api.http.post("/v1/tickets", json=TICKET)
    answer = api.http.get("/v1/tickets/T-1", params={"wait_for": 10_000})
    problem = assert_problem(answer, 503)
    assert problem["type"] == "urn:penstock:problem:wait-timed-out"
    assert (problem["projection"], problem["position"], problem["wanted"]) == ("tickets", 0, 10_000)
    assert int(answer.headers["retry-after"]) >= 1


def test_many_who_wait_do_not_keep_others_from_being_answered(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.http.read_your_writes.WAIT_SECONDS", 10.0)

    def wait() -> None:
        api.http.get("/v1/tickets/T-1", params={"wait_for": 10_000})

    waiting = [threading.Thread(target=wait) for _ in range(45)]
    for each in waiting:
        each.start()
    time.sleep(0.2)
    assert api.http.post("/v1/tickets", json=TICKET).status_code == 201
    assert any(each.is_alive() for each in waiting)
    for each in waiting:
        each.join()


def test_live_tells_what_moved(api: Api) -> None:
    with api.http.stream("GET", "/v1/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = (line for line in answer.iter_lines() if line.startswith("data: "))
        before = json.loads(next(lines).removeprefix("data: "))
        assert "tickets_by_status" in before["views"]
        api.http.post("/v1/tickets", json=TICKET)
        api.project()
        after = json.loads(next(lines).removeprefix("data: "))
        assert after["subscriptions"]["tickets"] > before["subscriptions"].get("tickets", 0)


def test_alerts_name_what_needs_a_human(api: Api) -> None:
    assert api.http.get("/v1/alerts").json() == {"alerts": []}
    api.http.post("/v1/tickets", json=TICKET)
    with psycopg.connect(api.settings.database_url, autocommit=True) as connection:
        connection.execute("insert into ops.subscriptions (subscription) values ('slow')")
        connection.execute(
            "insert into ops.runs (pipeline, status, finished_at, error, started_at) values"
            " ('good', 'failed', now(), 'old news', now() - interval '1 hour'),"
            " ('good', 'completed', now(), null, now()),"
            " ('bad', 'completed', now(), null, now() - interval '3 hours'),"
            " ('bad', 'failed', now(), 'first', now() - interval '2 hours'), ('bad', 'failed', now(), 'last', now())"
        )
        connection.execute(
            "insert into ops.dead_letters (kind, source, reference, reason) values ('event', 'tickets', '5', 'poison')"
        )
        connection.execute("alter table public.event_store disable trigger user")
        connection.execute("update public.event_store set created_at = now() - interval '1 hour'")
    alerts = {alert["kind"]: alert for alert in api.http.get("/v1/alerts").json()["alerts"]}
    assert set(alerts) == {"failing-pipeline", "late-subscription", "dead-letters"}
    failing = alerts["failing-pipeline"]
    assert (failing["name"], failing["message"], failing["count"]) == ("bad", "last", 2)
    assert (alerts["late-subscription"]["name"], alerts["late-subscription"]["count"]) == ("slow", 1)
    assert (alerts["dead-letters"]["name"], alerts["dead-letters"]["message"]) == ("tickets", "poison")


def test_metrics_count(api: Api) -> None:
    api.http.post("/v1/tickets", json=TICKET)
    api.project()
    closed = {"event_type": "TicketClosed", "payload": {}}
    api.http.post("/v1/streams/ticket/T-1/events", json={"expected_version": 1, "events": [closed]})
    samples = dict(
        line.rsplit(" ", 1) for line in api.http.get("/metrics").text.splitlines() if not line.startswith("#")
    )
    assert samples["penstock_events_total"] == "2"
    assert float(samples['penstock_subscription_lag_seconds{subscription="tickets"}']) > 0
    assert samples['penstock_subscription_position{subscription="tickets"}'] == "1"


def test_a_label_cannot_break_the_text() -> None:
    text = exposition(Measurements(1, 1, [], [('a"b\\c\nd', "failed", 2)], []))
    assert 'penstock_runs{pipeline="a\\"b\\\\c\\nd",status="failed"} 2\n' in text


def test_runs_are_read_by_pages(api: Api) -> None:
    with psycopg.connect(api.settings.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into ops.runs (pipeline, status, started_at, finished_at, rows_in)"
            " select 'p' || n % 2, 'completed', now() - n * interval '1 minute', now(), n"
            " from generate_series(1, 5) as n"
        )
    seen, before = [], None
    while True:
        page = api.http.get("/v1/runs", params={"limit": 2} | ({"before": before} if before else {})).json()
        seen += [run["rows_in"] for run in page["runs"]]
        before = page["next"]
        if before is None:
            break
    assert seen == [1, 2, 3, 4, 5]
    assert [run["rows_in"] for run in api.http.get("/v1/runs?pipeline=p1").json()["runs"]] == [1, 3, 5]


def test_views_say_how_fresh_they_are_and_can_be_refreshed(api: Api) -> None:
    views = {view["name"]: view for view in api.http.get("/v1/views").json()["views"]}
    assert list(views) == ["tickets_by_status", "ticket_days"]
    refreshed = api.http.post("/v1/views/tickets_by_status/refresh").json()
    page = api.http.get("/v1/views/tickets_by_status").json()
    assert page == {"rows": [], "next": None, "refreshed_at": refreshed["refreshed_at"]}
    assert refreshed["refreshed_at"] > views["tickets_by_status"]["refreshed_at"]
    assert_problem(api.http.post("/v1/views/ticket_days/refresh"), 422)


def test_the_document_is_complete(settings: Settings) -> None:
    document = create_app(DOMAIN, functions=FUNCTIONS, settings=settings).openapi()
    assert "/api/inngest" not in document["paths"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            good = [status for status in operation["responses"] if status.startswith("2")]
            assert good, (method, path)
            assert all(operation["responses"][status]["content"] for status in good), (method, path)
            for status in {str(each) for each in DOCUMENTED} & set(operation["responses"]) - {"503"}:
                name = DOCUMENTED[int(status)].name
                assert operation["responses"][status] == {"$ref": f"#/components/responses/{name}"}
            assert bool(operation.get("security")) == bool(operation.get("x-scope"))
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_however_many_ask_whether_it_is_ready_one_connection_answers(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    connect = pool.connect
    monkeypatch.setattr(pool, "connect", lambda url: opened.append(url) or connect(url))
    monkeypatch.setattr(shared_look, "MAX_AGE_SECONDS", 3600.0)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: api.http.get("/ready").status_code, range(40)))
    assert answers == [200] * 40
    assert len(opened) == 1
    monkeypatch.setattr(shared_look, "MAX_AGE_SECONDS", 0.0)
    assert api.http.get("/ready").json() == {"status": "ready", "missing": []}
    assert len(opened) == 2


def test_a_database_without_migrations_is_one_sentence(settings: Settings) -> None:
    with throwaway.fresh_database() as url, running(replace(settings, database_url=url)) as api:
        for path in ("/v1/imports", "/v1/streams/ticket/T-1/events", "/v1/events"):
            detail = assert_problem(api.http.get(path), 503)["detail"]
            assert detail.startswith("the database lacks what this version of Penstock uses (")
            assert detail.endswith("): `penstock migrate` applies its migrations")
