"""Events over HTTP: append, conflict, retry, read, state."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg

from penstock.event_store import uuid7
from tests.integration.http.conftest import Api

STREAM = "/v1/streams/ticket/T-1/events"


def append(api: Api, expected: object = "any", *ids: str, path: str = STREAM, **fields):
    events = [{"id": id, "event_type": "TicketOpened", "payload": {"n": 1}, **fields} for id in ids or [str(uuid7())]]
    return api.http.post(path, json={"expected_version": expected, "events": events})


def test_an_append_answers_with_each_events_place(api: Api) -> None:
    ids = [str(uuid7()), str(uuid7())]
    answer = append(api, "no_stream", *ids)
    assert answer.status_code == 201
    body = answer.json()
    positions = [event["position"] for event in body["events"]]
    assert body == {
        "aggregate_id": "T-1",
        "version": 2,
        "position": positions[1],
        "duplicate": False,
        "events": [
            {"id": ids[0], "version": 1, "position": positions[0]},
            {"id": ids[1], "version": 2, "position": positions[1]},
        ],
    }
    assert positions[0] < positions[1]
    assert api.sent.wakes == 1


def test_a_repeated_append_answers_as_the_first_time_even_after_others(api: Api) -> None:
    id = str(uuid7())
    first = append(api, "no_stream", id).json()
    append(api)
    again = append(api, "no_stream", id)
    assert again.status_code == 201
    assert again.json() == first | {"duplicate": True}


def test_a_conflict_tells_expected_and_actual(api: Api) -> None:
    append(api)
    for expected in (7, "no_stream"):
        answer = append(api, expected)
        assert answer.status_code == 409
        problem = answer.json()
        assert problem["type"] == "urn:penstock:problem:version-conflict"
        assert (problem["expected"], problem["actual"]) == (expected, 1)
    missing = append(api, "stream_exists", path="/v1/streams/ticket/T-2/events").json()
    assert (missing["expected"], missing["actual"]) == ("stream_exists", 0)


def test_an_id_that_stands_twice_in_one_call_is_named(api: Api) -> None:
    id = str(uuid7())
    answer = append(api, "any", str(uuid7()), id, id)
    assert answer.status_code == 422
    [fault] = answer.json()["errors"]
    assert fault["field"] == "events"
    assert "the id of event 1 appears again at event 2" in fault["reason"]
    assert api.http.get(STREAM).status_code == 404


def test_an_id_is_not_used_twice(api: Api) -> None:
    id = str(uuid7())
    append(api, "any", id)
    other = append(api, "any", id, payload={"n": 2})
    assert (other.status_code, other.json()["type"]) == (409, "urn:penstock:problem:event-id-reused")
    half = append(api, "any", id, str(uuid7()))
    assert (half.status_code, half.json()["type"]) == (409, "urn:penstock:problem:partial-repeat")


def test_metadata_is_completed_and_the_actor_cannot_be_forged(api: Api) -> None:
    append(api)
    given = {"occurred_at": "2026-01-02T03:04:05+02:00", "actor": "boss", "source": "heaven", "till": 3}
    answer = api.http.post(
        STREAM,
        json={"expected_version": "any", "events": [{"event_type": "T", "payload": {}, "metadata": given}]},
        headers={"x-correlation-id": "basket-7"},
    )
    first, second = api.http.get(STREAM).json()["events"]
    assert first["metadata"]["correlation_id"] == first["metadata"]["causation_id"]
    age = datetime.now(UTC) - datetime.fromisoformat(first["metadata"]["occurred_at"])
    assert abs(age.total_seconds()) < 60
    assert second["metadata"] == {
        "correlation_id": "basket-7",
        "causation_id": answer.headers["x-request-id"],
        "actor": "local",
        "source": "api",
        "occurred_at": "2026-01-02T01:04:05Z",
        "till": 3,
    }


def test_a_stream_is_read_by_pages(api: Api) -> None:
    append(api, "any", *(str(uuid7()) for _ in range(5)))
    seen, after = [], 0
    while after is not None:
        page = api.http.get(STREAM, params={"after_version": after, "limit": 2}).json()
        seen += [event["version"] for event in page["events"]]
        after = page["next"]
    assert seen == [1, 2, 3, 4, 5]


def test_the_store_is_read_in_order_and_by_type(api: Api) -> None:
    for number in range(6):
        append(api, path=f"/v1/streams/ticket/T-{number % 2}/events", event_type=f"Type{number % 3}")
    seen, after = [], 0
    while page := api.http.get("/v1/events", params={"after": after, "limit": 4}).json():
        if not page["events"]:
            assert page["next"] == after
            break
        seen += page["events"]
        after = page["next"]
    assert [event["position"] for event in seen] == sorted(event["position"] for event in seen)
    assert len(seen) == 6
    some = api.http.get("/v1/events", params={"event_type": ["Type0", "Type2"]}).json()["events"]
    assert {event["event_type"] for event in some} == {"Type0", "Type2"}
    assert len(some) == 4


def test_an_id_may_hold_a_slash_and_any_letter(api: Api) -> None:
    for encoded, plain in (("A%2FB", "A/B"), ("A/C", "A/C"), ("%C3%A9%20%3F%26%23", "é ?&#")):
        path = f"/v1/streams/part/{encoded}/events"
        assert append(api, path=path).json()["aggregate_id"] == plain
        assert api.http.get(path).json()["aggregate_id"] == plain
        assert api.http.get(f"/v1/aggregates/part/{encoded}").json()["aggregate_id"] == plain


def test_numbers_come_back_as_they_went_in(api: Api) -> None:
    payload = {"big": 2**70, "tenth": 0.1, "text": "1.10", "null": None, "unicode": "\u2028 ☃ \U0001f6bf"}
    append(api, payload=payload)
    assert api.http.get(STREAM).json()["events"][0]["payload"] == payload


def test_the_state_of_an_unknown_aggregate_is_its_payloads_merged(api: Api) -> None:
    append(api, payload={"subject": "Late", "open": True})
    then = datetime.now(UTC)
    append(api, payload={"open": False}, event_type="TicketClosed")
    state = api.http.get("/v1/aggregates/ticket/T-1").json()
    assert (state["fold"], state["version"]) == ("merged", 2)
    assert state["state"] == {
        "events": 2,
        "last_event_type": "TicketClosed",
        "data": {"subject": "Late", "open": False},
    }
    early = [
        api.http.get("/v1/aggregates/ticket/T-1", params=when).json()
        for when in ({"at_version": 1}, {"at": then.isoformat()})
    ]
    assert [each["state"]["data"]["open"] for each in early] == [True, True]
    assert api.http.get("/v1/aggregates/ticket/T-1", params={"at": "2000-01-01T00:00:00Z"}).status_code == 404


def test_a_number_that_only_sql_could_store_does_not_break_reading(api: Api) -> None:
    with psycopg.connect(api.settings.database_url, autocommit=True) as connection:
        connection.execute("select public.append_event('ticket', 'T-1', -1, %s, 'T', '{\"n\": 1e400}')", (uuid4(),))
    assert api.http.get(STREAM).status_code == 200
    assert api.http.get("/v1/events").status_code == 200
