"""A large body is work for a thread: the event loop goes on with the other requests."""

import asyncio
import json

import pytest

from penstock import json_codec
from penstock.http.resources import streams
from tests.integration.http.conftest import Api

STREAM = "/v1/streams/ticket/T-1/events"
JSON = {"content-type": "application/json"}


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[bool]]:
    """For each kind of work on a body, whether it was done on an event loop."""
    seen: dict[str, list[bool]] = {"loads": [], "dumps": [], "validate": []}
    loads, dumps, validate = json_codec.loads, json_codec.dumps, streams.AppendIn.model_validate

    def recorded(name, work):
        def record(*args, **kwargs):
            seen[name].append(_on_a_loop())
            return work(*args, **kwargs)

        return record

    monkeypatch.setattr(json_codec, "loads", recorded("loads", loads))
    monkeypatch.setattr(json_codec, "dumps", recorded("dumps", dumps))
    monkeypatch.setattr(streams.AppendIn, "model_validate", recorded("validate", validate))
    return seen


def append(api: Api, text: str, count: int) -> None:
    events = [{"event_type": "TicketOpened", "payload": {"text": text}}] * count
    body = json.dumps({"expected_version": "any", "events": events})
    assert api.http.post(STREAM, content=body, headers=JSON).status_code == 201


@pytest.mark.parametrize("count", [1, 2])
def test_a_large_body_is_parsed_validated_and_encoded_in_a_thread(api: Api, places, count: int) -> None:
    append(api, "x" * 100_000, count)
    assert places["loads"] == [False]
    assert places["validate"] == [False]
    assert True not in places["dumps"]


def test_a_small_body_is_parsed_where_it_arrives(api: Api, places) -> None:
    append(api, "x", 1)
    assert places["loads"] == places["validate"] == [True]


def test_a_large_body_of_any_route_is_parsed_in_a_thread(api: Api, places) -> None:
    lines = [{"part": f"P-{number}", "quantity": 1, "price": "1.00"} for number in range(1000)]
    assert api.http.post("/v1/tickets", json={"ticket_id": "T-1", "lines": lines}).status_code == 201
    assert places["loads"] == [False]


def test_a_body_of_too_many_values_is_refused(api: Api) -> None:
    body = b'{"expected_version": "any", "events": [' + b"{}," * 300_000 + b"{}]}"
    answer = api.http.post(STREAM, content=body, headers=JSON)
    assert (answer.status_code, answer.json()["errors"][0]["reason"]) == (422, "more than 250,000 values")
