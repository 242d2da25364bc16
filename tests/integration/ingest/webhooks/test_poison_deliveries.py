"""No delivery holds up another: what fails for its own sake is parked, what the database fails is put off."""

import importlib
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from psycopg import conninfo

from penstock.errors import DatabaseUnavailable, Unavailable
from penstock.event_store import read_events
from penstock.ingest import webhooks
from penstock.pipelines.dead_letters import list_dead_letters
from penstock.postgres import pool
from penstock.settings import Settings
from tests.integration.ingest.webhooks.test_inbox import deliver, inbox
from tests.unit.ingest.webhooks.test_standard_webhooks import NEW

module = importlib.import_module("penstock.ingest.webhooks.drain")

GOOD = {"type": "good", "data": {}}
BAD = {"type": "bad", "data": {}}

BODIES = [
    b'{"type": "bad", "data": {"n": 1e-99999999999999999999}}',
    b'{"type": "bad", "data": {"n": ' + b"9" * 5000 + b"}}",
    b'{"type": "bad", "data": ' + b"[" * 100_000,
    b'{"type": "bad", "data": {"\\ud800": 1, "\\ud800": 2}}',
    b'{"type": "bad", "data": {"\\u0000": 1, "\\u0000": 2}}',
    b'{"type": "TicketOpened", "data": {"ticket_id": "A-1", "opened_at": "\\u0000\\ud800"}}',
    b'{"type": "bad\\u0000", "data": {}}',
    b'{"type": "bad", "data": {"id": ' + b"9" * 400 + b"}}",
    b"\xff",
    b"",
]


@pytest.fixture
def shop(settings: Settings) -> Settings:
    return replace(settings, webhook_secrets={"shop": (NEW,)})


@pytest.fixture
def breaks(connection: psycopg.Connection) -> Callable[[str], None]:
    """Have the store run a statement for each event of the type `bad`."""

    def break_it(statement: str) -> None:
        connection.execute(f"""
            create function public.break_it() returns trigger language plpgsql as
            $$ begin if new.event_type = 'bad' then {statement}; end if; return new; end $$
        """)
        connection.execute(
            "create trigger break_it before insert on public.event_store for each row execute function break_it()"
        )

    return break_it


def states(connection: psycopg.Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in inbox(connection)}


def fall_due(connection: psycopg.Connection) -> None:
    connection.execute("update raw.webhook_inbox set due_at = clock_timestamp() - interval '1 hour'")


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_cannot_be_read_is_parked_alone(
    shop: Settings, connection: psycopg.Connection, body: bytes
) -> None:
    deliver(shop, body, id="bad")
    deliver(shop, GOOD, id="good")
    assert webhooks.append_deliveries(shop) == 2
    assert states(connection) == {"bad": "failed", "good": "appended"}
    [letter] = list_dead_letters(connection, kind="delivery")
    assert letter.reference == "bad"
    assert letter.reason


@pytest.mark.parametrize("kind", [RecursionError, MemoryError, ZeroDivisionError, UnicodeError, psycopg.DataError])
def test_an_unforeseen_error_parks_its_delivery_alone(
    shop: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    read = module.read_delivery

    def fails(delivery, settings):
        if delivery.delivery_id == "bad":
            raise kind("broken \ud800\x00" * 1000)
        return read(delivery, settings)

    monkeypatch.setattr(module, "read_delivery", fails)
    deliver(shop, BAD, id="bad")
    deliver(shop, GOOD, id="good")
    assert webhooks.append_deliveries(shop) == 2
    assert states(connection) == {"bad": "failed", "good": "appended"}
    [letter] = list_dead_letters(connection, kind="delivery")
    assert letter.reason.startswith("broken \\ud800\\x00")


@pytest.mark.parametrize("state", ["P0001", "42501", "XX000", "PK001", "PK003", "22003", "23514"])
def test_an_append_that_fails_parks_its_delivery_alone(
    shop: Settings, connection: psycopg.Connection, breaks, state: str
) -> None:
    breaks(f"raise exception 'broken' using errcode = '{state}', detail = '{{'")
    deliver(shop, BAD, id="bad")
    deliver(shop, GOOD, id="good")
    assert webhooks.append_deliveries(shop) == 2
    assert states(connection) == {"bad": "failed", "good": "appended"}


@pytest.mark.parametrize(
    "statement",
    [
        "raise exception 'deadlock' using errcode = '40P01'",
        "raise exception 'statement timeout' using errcode = '57014'",
        "raise exception 'lock timeout' using errcode = '55P03'",
        "raise exception 'not migrated' using errcode = '42883'",
        "perform pg_terminate_backend(pg_backend_pid())",
    ],
)
def test_what_the_database_fails_stays_pending_behind_the_others(
    shop: Settings, connection: psycopg.Connection, breaks, statement: str
) -> None:
    breaks(statement)
    deliver(shop, BAD, id="bad")
    deliver(shop, GOOD, id="good")
    assert webhooks.append_deliveries(shop) == 2
    assert states(connection) == {"bad": "pending", "good": "appended"}
    assert webhooks.append_deliveries(shop) == 0
    connection.execute("drop trigger break_it on public.event_store")
    fall_due(connection)
    assert webhooks.append_deliveries(shop) == 1
    assert states(connection)["bad"] == "appended"
    assert list_dead_letters(connection, kind="delivery") == []


def test_the_pause_doubles_and_ends_with_a_dead_letter(shop: Settings, connection: psycopg.Connection, breaks) -> None:
    breaks("raise exception 'statement timeout' using errcode = '57014'")
    deliver(shop, BAD, id="bad")
    pauses = []
    for _ in range(module.MAX_ATTEMPTS):
        assert states(connection) == {"bad": "pending"}
        fall_due(connection)
        assert webhooks.append_deliveries(shop) == 1
        query = "select extract(epoch from due_at - clock_timestamp()), attempts from raw.webhook_inbox"
        pauses.append(connection.execute(query).fetchone())
    assert states(connection) == {"bad": "failed"}
    assert [attempts for _, attempts in pauses] == list(range(1, module.MAX_ATTEMPTS + 1))
    assert 900 < pauses[-1][0] <= 1024
    [letter] = list_dead_letters(connection, kind="delivery")
    assert "statement timeout" in letter.reason
    webhooks.retry_delivery(connection, "shop", "bad")
    assert connection.execute("select attempts from raw.webhook_inbox").fetchone() == (0,)


def test_an_inbox_that_cannot_be_written_changes_nothing(
    shop: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(shop, GOOD)

    def away(*_: object) -> None:
        raise DatabaseUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(module, "_finish", away)
        patched.setattr(module, "_put_off", away)
        with pytest.raises(Unavailable):
            webhooks.append_deliveries(shop)
    assert states(connection) == {"msg_1": "pending"}
    assert read_events(connection) == []
    assert webhooks.append_deliveries(shop) == 1


def test_a_delivery_that_another_worker_holds_is_passed_over(shop: Settings, connection: psycopg.Connection) -> None:
    deliver(shop, GOOD, id="held")
    deliver(shop, GOOD, id="free")
    impatient = conninfo.make_conninfo(shop.database_url, options="-c lock_timeout=2s")
    with pool.transaction(shop) as other:
        other.execute("select from raw.webhook_inbox where delivery_id = 'held' for update")
        assert webhooks.append_deliveries(replace(shop, database_url=impatient)) == 1
    assert states(connection) == {"held": "pending", "free": "appended"}
