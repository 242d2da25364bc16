"""What goes out to Inngest: events by its event API, outputs and errors through the middleware."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import inngest
import pytest
import respx

from penstock.errors import InvalidInput, Unavailable
from penstock.inngest import client as module
from penstock.inngest import publishing
from penstock.inngest import send as sending
from penstock.inngest.client import client
from penstock.inngest.error_policy import SortErrors
from penstock.inngest.send import send
from penstock.relay.outbox import OutgoingEvent

URL = "http://127.0.0.1:8288/e/NO_EVENT_KEY_SET"
EVENT = OutgoingEvent("event/Noted", "0193d0f2-6c1e-7d3a-9b6e-0b8a3f1f6d10", {"text": "ä", "none": None}, 1291191960000)


@pytest.fixture(autouse=True)
def has_the_app(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The development server has every function; what it is asked for is not what these tests are about."""
    monkeypatch.setattr(publishing.DevServer, "_has_app", lambda *arguments: True)
    sending._dev_server.cache_clear()
    yield
    sending._dev_server.cache_clear()


@respx.mock
def test_events_go_to_the_event_api_as_they_are() -> None:
    route = respx.post(URL).respond(200, json={"ids": ["x"], "status": 200})
    send([EVENT, EVENT])
    body = httpx.Response(200, content=route.calls.last.request.content).json()
    assert body == [{"name": EVENT.name, "id": EVENT.id, "ts": EVENT.ts, "data": {"text": "ä", "none": None}}] * 2


@respx.mock
@pytest.mark.parametrize("status", [400, 413])
def test_events_that_inngest_refuses_are_invalid(status: int) -> None:
    respx.post(URL).respond(status, json={"error": "event 0 is too large"})
    with pytest.raises(InvalidInput, match="too large"):
        send([EVENT])


@respx.mock
@pytest.mark.parametrize("status", [401, 403, 404, 429, 500, 503])
def test_what_is_not_the_events_fault_may_pass(status: int) -> None:
    """A wrong key above all: it must not turn every event into a dead letter."""
    respx.post(URL).respond(status, text="no")
    with pytest.raises(Unavailable, match=str(status)):
        send([EVENT])


@respx.mock
@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow")])
def test_an_unreachable_server_may_come_back(error: httpx.HTTPError) -> None:
    respx.post(URL).mock(side_effect=error)
    with pytest.raises(Unavailable, match="cannot be reached"):
        send([EVENT])


def test_without_an_event_key_nothing_is_sent_to_the_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "is_production", True)
    with (
        respx.mock(assert_all_called=False) as router,
        pytest.raises(Unavailable, match="INNGEST_EVENT_KEY is not set"),
    ):
        send([EVENT])
    assert not router.calls


@respx.mock
def test_the_environment_of_a_branch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "is_production", True)
    monkeypatch.setattr(client, "_event_key", "key")
    route = respx.post(URL.replace("NO_EVENT_KEY_SET", "key")).respond(200)
    monkeypatch.setattr(client, "_env", "feature-x")
    send([EVENT])
    assert route.calls.last.request.headers["x-inngest-env"] == "feature-x"


def transformed(output: object) -> Any:
    result = inngest.TransformOutputResult(error=None, output=output, step=None)
    SortErrors(client, None).transform_output(result)
    return result.output


def test_outputs_are_encoded_before_the_sdk_sees_them() -> None:
    output = {
        "total": Decimal("15.300"),
        "day": date(2010, 12, 1),
        "at": datetime(2010, 12, 1, 8, 26, tzinfo=UTC),
        "id": UUID(EVENT.id),
        "days": (1, 2),
    }
    assert transformed(output) == {
        "total": "15.300",
        "day": "2010-12-01",
        "at": "2010-12-01T08:26:00Z",
        "id": EVENT.id,
        "days": [1, 2],
    }


@pytest.mark.parametrize("output", [{"rate": float("nan")}, b"bytes", object()])
def test_an_output_that_json_cannot_hold_is_not_tried_again(output: object) -> None:
    with pytest.raises(inngest.NonRetriableError, match="JSON cannot hold"):
        transformed(output)


def test_listened_types_come_from_the_triggers(monkeypatch: pytest.MonkeyPatch) -> None:
    events = ["event/OrderPlaced", "event/shop.*", "etl/daily.requested", "inngest/function.failed"]
    triggers = [inngest.TriggerEvent(event=event) for event in events]

    @client.create_function(fn_id="listening", trigger=[*triggers, inngest.TriggerCron(cron="* * * * *")])
    def listening(ctx: inngest.ContextSync) -> None: ...

    monkeypatch.setattr(module, "registered", [listening])
    assert module.listened_types() == {"OrderPlaced", "shop.*"}


@pytest.mark.parametrize("status", [401, 403])
@respx.mock
def test_a_wrong_event_key_is_named(status: int) -> None:
    respx.post(URL).respond(status, text="Event key not found")
    with pytest.raises(Unavailable) as refused:
        send([EVENT])
    assert str(refused.value) == (
        f"Inngest refuses INNGEST_EVENT_KEY ({status}): copy the event key of this environment from Inngest's dashboard"
    )
    assert refused.value.retry_after == 60
