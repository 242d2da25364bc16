"""A database that takes no writes, as Supabase makes it when its disk is full: every write says so, reads go on."""

from dataclasses import dataclass

import httpx
import psycopg
import pytest

from penstock.projections import advance_all
from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_problem
from tests.integration.http.test_intake import CSV, deliver

EVENT = {"event_type": "TicketOpened", "payload": {"n": 1}}
TICKET = {"ticket_id": "O-1", "lines": [{"part": "MUG", "quantity": 1, "price": "2.50"}]}
STREAM = "/v1/streams/ticket/T-1/events"


@dataclass
class Full:
    api: Api
    upload_url: str


@pytest.fixture
def full(api: Api) -> Full:
    assert api.http.post("/v1/tickets", json=TICKET).status_code == 201
    advance_all(api.settings)
    opened = api.http.post("/v1/imports/tickets/uploads").json()
    with psycopg.connect(api.settings.database_url, autocommit=True) as connection:
        connection.execute(f"alter database {connection.info.dbname} set default_transaction_read_only = on")
        connection.execute(
            "select pg_terminate_backend(pid, 60000) from pg_stat_activity"
            " where datname = current_database() and application_name = 'penstock'"
        )
    return Full(api, opened["upload_url"])


def writes(api: Api, upload_url: str) -> dict[str, httpx.Response]:
    post = api.http.post
    return {
        "one event": post(STREAM, json={"expected_version": "any", "events": [EVENT]}),
        "two events": post(STREAM, json={"expected_version": "any", "events": [EVENT, EVENT]}),
        "a ticket": post("/v1/tickets", json={**TICKET, "ticket_id": "O-2"}),
        "a file": post("/v1/imports/tickets", content=CSV, headers={"content-type": "text/csv"}),
        "a dry run": post("/v1/imports/tickets?dry_run=true", content=CSV, headers={"content-type": "text/csv"}),
        "an upload": post("/v1/imports/tickets/uploads"),
        "its file": api.http.put(upload_url, content=CSV),
        "a delivery": deliver(api, {"type": "TicketOpened", "data": {}}),
        "a refresh": post("/v1/views/tickets_by_status/refresh"),
    }


def test_every_write_is_a_503_that_says_why(full: Full) -> None:
    for name, answer in writes(full.api, full.upload_url).items():
        problem = assert_problem(answer, 503)
        assert problem["type"] == "urn:penstock:problem:database-read-only", name
        assert problem["detail"].startswith("the database is read-only at the moment, nothing was written"), name
        assert answer.headers["retry-after"] == "60", name


def test_reads_go_on(full: Full) -> None:
    for path in (
        "/v1/tickets/O-1",
        STREAM,
        "/v1/views/tickets_by_status",
        "/v1/events",
        "/ready",
        "/metrics",
        "/v1/runs",
    ):
        answer = full.api.http.get(path)
        assert answer.status_code == (404 if path == STREAM else 200), answer.text
