"""The inbox: stored once, worked once, and nothing lost in between."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest

from penstock.errors import NotFound, Unauthenticated
from penstock.event_store import read_events, read_stream
from penstock.ingest import webhooks
from penstock.pipelines.dead_letters import list_dead_letters
from penstock.postgres import pool as database
from penstock.settings import Settings
from tests.unit.ingest.webhooks.test_standard_webhooks import NEW, OLD, signed

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)


@pytest.fixture
def shop(settings: Settings) -> Settings:
    return replace(settings, webhook_secrets={"shop": (OLD, NEW)})


def deliver(settings: Settings, body: object, id: str = "msg_1", **headers: str) -> webhooks.Received:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return webhooks.receive(settings, "shop", signed(id=id, body=raw, at=NOW) | headers, raw, NOW)


def inbox(connection: psycopg.Connection) -> list[tuple]:
    query = "select delivery_id, status, reason, cardinality(event_ids) from raw.webhook_inbox order by received_at, 1"
    return connection.execute(query).fetchall()


def test_a_delivery_becomes_one_event_however_often_it_comes(shop: Settings, connection: psycopg.Connection) -> None:
    body = {"type": "order.paid", "data": {"id": "A-1"}}
    assert deliver(shop, body) == webhooks.Received("msg_1", duplicate=False)
    assert deliver(shop, body).duplicate
    assert webhooks.append_deliveries(shop) == 1
    assert webhooks.append_deliveries(shop) == 0
    assert deliver(shop, body).duplicate
    assert webhooks.append_deliveries(shop) == 0
    [event] = read_events(connection)
    assert (event.aggregate_type, event.aggregate_id, event.event_type) == ("shop", "A-1", "order.paid")
    assert event.metadata["causation_id"] == "msg_1"
    assert inbox(connection) == [("msg_1", "appended", None, 1)]


def test_the_body_is_kept_byte_for_byte_and_no_secret_with_it(shop: Settings, connection: psycopg.Connection) -> None:
    raw = b'{ "type" : "x",\r\n "data":{} }\n'
    deliver(shop, raw, authorization="Bearer s3cret", cookie="s3cret", **{"user-agent": "Shop/1.0"})
    row = connection.execute("select body, headers from raw.webhook_inbox").fetchone()
    assert row[0] == raw
    assert row[1] == {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(NOW.timestamp())),
        "user-agent": "Shop/1.0",
    }


def test_a_bad_signature_or_source_stores_nothing(shop: Settings, connection: psycopg.Connection) -> None:
    with pytest.raises(Unauthenticated):
        webhooks.receive(shop, "shop", signed(at=NOW), b"another body", NOW)
    with pytest.raises(NotFound):
        webhooks.receive(shop, "nobody", signed(at=NOW), b"{}", NOW)
    assert inbox(connection) == []


def test_an_unreadable_body_fails_with_a_dead_letter_and_stops_nobody(
    shop: Settings, connection: psycopg.Connection
) -> None:
    deliver(shop, b"<xml/>", id="bad")
    deliver(shop, {"type": "TicketOpened", "data": {"ticket_id": "A-1"}}, id="unfit")
    deliver(shop, {"type": "ok", "data": {"id": "x" * 201}}, id="too-long")
    deliver(shop, {"type": "ok", "data": {}}, id="good")
    assert webhooks.append_deliveries(shop) == 4
    states = {row[0]: row[1:] for row in inbox(connection)}
    assert states["good"] == ("appended", None, 1)
    assert states["bad"][0] == states["unfit"][0] == states["too-long"][0] == "failed"
    assert states["unfit"][1].startswith("data.opened_at: Field required")
    letters = {letter.reference: letter for letter in list_dead_letters(connection, kind="delivery", source="shop")}
    assert set(letters) == {"bad", "unfit", "too-long"}
    assert "not JSON" in letters["bad"].reason
    assert [event.event_type for event in read_events(connection)] == ["ok"]


def test_a_failed_delivery_can_be_tried_again(shop: Settings, connection: psycopg.Connection) -> None:
    deliver(shop, b"nonsense")
    webhooks.append_deliveries(shop)
    webhooks.retry_delivery(connection, "shop", "msg_1")
    assert inbox(connection) == [("msg_1", "pending", None, 0)]
    assert webhooks.append_deliveries(shop) == 1
    [letter] = list_dead_letters(connection, kind="delivery")
    assert letter.attempts == 2
    with pytest.raises(NotFound):
        webhooks.retry_delivery(connection, "shop", "msg_2")


def test_a_crash_before_the_commit_leaves_the_delivery_to_the_next(
    shop: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(shop, {"type": "x", "data": {}})
    module = __import__("penstock.ingest.webhooks.drain", fromlist=["_finish"])

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(module, "_finish", crash)
        webhooks.append_deliveries(shop)
    assert read_events(connection) == []
    assert inbox(connection) == [("msg_1", "pending", None, 0)]
    assert webhooks.append_deliveries(shop) == 1
    assert len(read_events(connection)) == 1


def test_an_event_that_was_appended_without_its_delivery_being_settled_is_not_appended_twice(
    shop: Settings, connection: psycopg.Connection
) -> None:
    deliver(shop, {"type": "x", "data": {"id": "1"}})
    webhooks.append_deliveries(shop)
    connection.execute("update raw.webhook_inbox set status = 'pending', processed_at = null")
    assert webhooks.append_deliveries(shop) == 1
    assert len(read_stream(connection, "shop", "1")) == 1
    assert inbox(connection)[0][1] == "appended"


def test_workers_share_the_inbox(shop: Settings, connection: psycopg.Connection) -> None:
    for number in range(60):
        deliver(shop, {"type": "x", "data": {"n": number}}, id=f"msg_{number}")
    with ThreadPoolExecutor(4) as pool:
        worked = list(pool.map(lambda _: webhooks.append_deliveries(shop), range(4)))
    assert sum(worked) == 60
    assert len(read_events(connection)) == 60


def test_a_limit_leaves_the_rest(shop: Settings, connection: psycopg.Connection) -> None:
    for number in range(3):
        deliver(shop, {"type": "x", "data": {}}, id=f"msg_{number}")
    assert webhooks.append_deliveries(shop, limit=2) == 2
    assert [row[1] for row in inbox(connection)].count("pending") == 1


def test_no_role_of_the_api_reaches_the_inbox_but_the_service(connection: psycopg.Connection) -> None:
    for role in ("anon", "authenticated", "analyst"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(f"set local role {role}")
            connection.execute("select from raw.webhook_inbox")
    with connection.transaction():
        connection.execute("set local role service_role")
        connection.execute("select from raw.webhook_inbox")


def test_receiving_answers_while_another_transaction_holds_the_row(
    shop: Settings, connection: psycopg.Connection
) -> None:
    deliver(shop, {"type": "x", "data": {}})
    with database.transaction(shop) as worker:
        worker.execute("select from raw.webhook_inbox for update")
        assert deliver(shop, {"type": "x", "data": {}}).duplicate
