"""Dead letters over HTTP: listed by pages, run again by kind, dropped."""

import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from penstock.http.app import create_app
from penstock.pipelines.dead_letters import park
from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_problem

STREAM = "/v1/streams/ticket/T-1/events"
TICKET = {"expected_version": "any", "events": [{"event_type": "TicketOpened", "payload": {"subject": "tap"}}]}


def letters(api: Api, **asked: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/v1/dead-letters", params=asked).json()["dead_letters"]
    return found


def retry(api: Api, letter: UUID | str) -> Any:
    return api.http.post(f"/v1/dead-letters/{letter}/retry")


def test_letters_are_read_by_pages_the_latest_first(api: Api, connection: psycopg.Connection) -> None:
    with connection.transaction():  # one time for all: only the id tells them apart
        ids = [str(park(connection, "run", "etl", f"r{number}", "no", {"n": number})) for number in range(5)]
    other = str(park(connection, "event", "orders", "7", "cannot be read", {}))
    seen: list[str] = []
    after = None
    while True:
        page = api.http.get("/v1/dead-letters", params={"limit": 2} | ({"after": after} if after else {})).json()
        assert len(page["dead_letters"]) == 2
        seen += [letter["id"] for letter in page["dead_letters"]]
        after = page["next"]
        if after is None:
            break
    assert seen[0] == other
    assert sorted(seen[1:]) == sorted(ids)
    assert [letter["source"] for letter in letters(api, kind="event")] == ["orders"]
    assert len(letters(api, source="etl")) == 5
    assert letters(api, resolved=True) == []
    assert_problem(api.http.get("/v1/dead-letters", params={"after": str(uuid4())}), 422)
    assert_problem(api.http.get("/v1/dead-letters", params={"kind": "other"}), 422)


def test_a_letter_says_what_failed_and_why(api: Api, connection: psycopg.Connection) -> None:
    park(connection, "run", "etl", "r1", "postgresql://u:hunter2@h/d", {"events": []})
    [letter] = letters(api)
    created = letter.pop("created_at")
    assert created.endswith("Z")
    UUID(letter.pop("id"))
    assert letter == {
        "kind": "run",
        "source": "etl",
        "reference": "r1",
        "reason": "postgresql://u:***@h/d",
        "payload": {"events": []},
        "attempts": 1,
        "resolved_at": None,
        "resolution": None,
    }


def test_a_run_is_started_again_by_its_events(api: Api, connection: psycopg.Connection) -> None:
    event = {"name": "etl/daily.requested", "data": {"from": "2010-12-01", "to": "2010-12-02"}}
    letter = park(connection, "run", "run_daily_etl", "r1", "no", {"events": [event]})
    answer = retry(api, letter)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"id": str(letter), "resolution": "retried", "outcome": "sent to Inngest again"}
    [(name, _, data)] = api.sent.events
    assert {"name": name, "data": data} == event
    assert letters(api) == []
    assert [found["resolution"] for found in letters(api, resolved=True)] == ["retried"]


def test_a_run_that_cannot_be_sent_stays_open(api: Api, connection: psycopg.Connection) -> None:
    letter = park(connection, "run", "etl", "r1", "no", {"events": [{"name": "etl/daily.requested"}]})
    api.sent.away = True
    assert_problem(retry(api, letter), 503)
    assert [found["attempts"] for found in letters(api)] == [2]
    no_event = park(connection, "run", "etl", "r2", "no", {"events": [{"name": None}]})
    assert_problem(retry(api, no_event), 409)
    assert len(letters(api)) == 2


def test_an_event_that_was_not_sent_goes_to_its_listeners_again(api: Api, connection: psycopg.Connection) -> None:
    assert api.http.post(STREAM, json=TICKET).status_code == 201
    [event] = api.http.get("/v1/events").json()["events"]
    position = event["position"]
    letter = park(connection, "event", "inngest", str(position), "Inngest refuses the event", {})
    assert retry(api, letter).json()["outcome"] == "sent to Inngest again"
    [(name, _, data)] = api.sent.events
    assert (name, data["position"], data["payload"]) == ("event/TicketOpened", position, {"subject": "tap"})


def test_an_event_of_a_projection_has_it_rebuilt(api: Api, connection: psycopg.Connection) -> None:
    position = api.http.post("/v1/tickets", json={"ticket_id": "T-1"}).json()["position"]
    letter = park(connection, "event", "tickets", str(position), "cannot be read", {})
    assert retry(api, letter).json()["outcome"] == "tickets rebuilt"
    assert connection.execute("select count(*) from desk.tickets").fetchone() == (1,)
    assert letters(api) == []
    assert assert_problem(retry(api, letter), 409)["type"] == "urn:penstock:problem:already-resolved"


def test_a_delivery_goes_back_into_the_inbox(api: Api, connection: psycopg.Connection) -> None:
    body = json.dumps({"type": "thing.made", "timestamp": "2024-03-01T10:00:00Z", "data": {"id": "t1"}}).encode()
    connection.execute(
        "insert into raw.webhook_inbox (source, delivery_id, headers, body, received_at, status, reason, processed_at)"
        " values ('shop', 'd1', %s, %s, now(), 'failed', 'no place', now())",
        (Jsonb({}), body),
    )
    letter = park(connection, "delivery", "shop", "d1", "no place", {})
    assert retry(api, letter).json()["outcome"] == "delivery worked again"
    assert connection.execute("select status from raw.webhook_inbox").fetchone() == ("appended",)
    assert connection.execute("select event_type from public.event_store").fetchall() == [("thing.made",)]
    assert api.sent.wakes == 1


def test_a_dropped_letter_is_kept_and_done_with(api: Api, connection: psycopg.Connection) -> None:
    letter = park(connection, "run", "etl", "r1", "no", {"events": [{"name": "etl/daily.requested"}]})
    answer = api.http.delete(f"/v1/dead-letters/{letter}")
    assert (answer.status_code, answer.json()) == (200, {"id": str(letter), "resolution": "dropped"})
    assert [found["resolution"] for found in letters(api, resolved=True)] == ["dropped"]
    for again in (retry(api, letter), api.http.delete(f"/v1/dead-letters/{letter}")):
        assert assert_problem(again, 409)["type"] == "urn:penstock:problem:already-resolved"
    assert api.sent.events == []


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_an_unknown_letter_is_not_found(api: Api, method: str) -> None:
    path = f"/v1/dead-letters/{uuid4()}"
    assert_problem(api.http.request(method, path + ("/retry" if method == "POST" else "")), 404)
    assert_problem(api.http.delete("/v1/dead-letters/7"), 422)


def test_the_document_says_who_may_and_what_can_go_wrong() -> None:
    paths = create_app().openapi()["paths"]
    operations = [
        paths["/v1/dead-letters"]["get"],
        paths["/v1/dead-letters/{letter_id}/retry"]["post"],
        paths["/v1/dead-letters/{letter_id}"]["delete"],
    ]
    assert {operation["x-scope"] for operation in operations} == {"admin"}
    assert all({"200", "401", "403", "404"} <= set(operation["responses"]) for operation in operations)
    assert all("409" in operation["responses"] for operation in operations[1:])
