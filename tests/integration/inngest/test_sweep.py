"""Correctness never depends on a notification: what one that was lost would have begun, the sweep begins."""

import random
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from penstock import event_store, projections, views
from penstock.event_store import ANY_VERSION, NewEvent, pass_over, read_checkpoint
from penstock.inngest.relay import relay
from penstock.postgres import pool
from penstock.projections import PythonProjection
from penstock.relay.event_names import (
    APPENDED,
    DELIVERY_RECEIVED,
    PROJECTIONS_BEHIND,
    SWEEP_REQUESTED,
    VIEWS_REQUESTED,
    projection_behind,
)
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import Settings
from tests.integration.inngest.inngest_calls import RUN_ID, Outcome, run

CRON = {"name": "inngest/scheduled.timer"}


def append(connection: psycopg.Connection, event_type: str = "TicketOpened", number: int = 1) -> int:
    position = 0
    for _ in range(number):
        position = event_store.append(
            connection, "ticket", f"t{event_store.uuid7()}", ANY_VERSION, [NewEvent(event_type, {})]
        ).position
    return position


def sweep(**event: Any) -> Outcome:
    outcome = run("sweep", {**CRON, **event})
    assert outcome.status == 200, outcome.body
    assert outcome.steps == {}
    return outcome


def names(sent: list[OutgoingEvent]) -> list[str]:
    return [event.name for event in sent]


@pytest.fixture
def fresh(connection: psycopg.Connection) -> None:
    """Nothing is outdated, and nothing was appended."""
    for view in views.views().values():
        if view.kind == "materialized":
            views.refresh_view(connection, view.name)


@pytest.fixture
def second() -> Iterator[PythonProjection]:
    """A projection before `tickets`, which fails."""

    def fail(connection: object, events: object) -> None:
        raise RuntimeError("no")

    registry = projections.projection._registry
    others = dict(registry)
    registry.clear()
    made = PythonProjection("a_first", ("desk.tickets",), ("TicketOpened",), fail)
    registry.update({"a_first": made, **others})
    yield made
    del registry["a_first"]


@pytest.mark.usefixtures("fresh")
def test_a_sweep_that_finds_nothing_sends_nothing(sent: list[OutgoingEvent]) -> None:
    assert sweep().body == {"found": []}
    assert sent == []


@pytest.mark.usefixtures("fresh")
def test_what_no_request_published_is_published(connection: psycopg.Connection, sent: list[OutgoingEvent]) -> None:
    append(connection)
    sweep()
    assert names(sent)[:2] == [APPENDED, PROJECTIONS_BEHIND]


@pytest.mark.usefixtures("fresh")
def test_a_lost_notification_is_found(connection: psycopg.Connection, sent: list[OutgoingEvent]) -> None:
    position = append(connection)
    relay.once()
    del sent[:]  # Inngest never ran what it took
    assert sweep().body == {"found": [{"event": PROJECTIONS_BEHIND, "projections": ["tickets"]}]}
    assert run("advance-projections", {"name": PROJECTIONS_BEHIND, "data": sent[0].data}).body == {
        "tickets": {"position": position, "events": 1, "caught_up": True}
    }
    sweep()
    assert PROJECTIONS_BEHIND not in names(sent[1:])


@pytest.mark.usefixtures("fresh")
def test_a_projection_is_not_run_for_events_that_it_does_not_fold(
    connection: psycopg.Connection, settings: Settings, sent: list[OutgoingEvent]
) -> None:
    position = append(connection, "Other", 3)
    assert sweep().body == {"found": []}
    assert names(sent) == [APPENDED]
    assert read_checkpoint(connection, "tickets") == position
    projections.wait_for(settings, "tickets", position, seconds=0)


def test_to_wait_for_a_projection_is_not_to_wait_for_events_of_others(
    connection: psycopg.Connection, settings: Settings
) -> None:
    projections.wait_for(settings, "tickets", append(connection, "Other"), seconds=0)
    assert read_checkpoint(connection, "tickets") == 0
    with pytest.raises(projections.runner.WaitTimedOut):
        projections.wait_for(settings, "tickets", append(connection), seconds=0)


def test_an_append_in_flight_is_waited_for(
    connection: psycopg.Connection, database_url: str, settings: Settings
) -> None:
    """Its events may be of the projection's types, and have a lower position."""
    with psycopg.connect(database_url) as other:
        append(other)
        position = append(connection, "Other")
        with pytest.raises(projections.runner.WaitTimedOut):
            projections.wait_for(settings, "tickets", position, seconds=0)
        assert projections.find_behind(settings) == []
        assert read_checkpoint(connection, "tickets") == 0
        other.commit()
    assert projections.find_behind(settings) == ["tickets"]


def test_a_checkpoint_that_has_moved_meanwhile_is_left_alone(connection: psycopg.Connection) -> None:
    connection.execute("insert into ops.subscriptions (subscription, position) values ('tickets', 9)")
    pass_over(connection, "tickets", 3, 5)
    assert read_checkpoint(connection, "tickets") == 9
    pass_over(connection, "tickets", 9, 12)
    assert read_checkpoint(connection, "tickets") == 12
    pass_over(connection, "new", 0, 4)
    assert read_checkpoint(connection, "new") == 4


@pytest.mark.usefixtures("second")
def test_a_projection_that_fails_delays_no_other(connection: psycopg.Connection, settings: Settings) -> None:
    position = append(connection)
    data = {"projections": ["a_first", "tickets"]}
    outcome = run("advance-projections", {"name": PROJECTIONS_BEHIND, "data": data})
    assert (outcome.status, "x-inngest-no-retry" in outcome.headers) == (500, False)
    assert read_checkpoint(connection, "tickets") == position


def test_a_projection_that_has_much_to_do_goes_on_in_its_own_function(
    connection: psycopg.Connection, sent: list[OutgoingEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(connection, number=4)
    monkeypatch.setattr("penstock.projections.runner.BATCH_SIZE", 2)
    monkeypatch.setattr("penstock.inngest.functions.advance_projections.SECONDS_EACH", 0.0)
    outcome = run("advance-projections", {"name": PROJECTIONS_BEHIND, "data": {"projections": ["tickets", "former"]}})
    assert outcome.body == {"tickets": {"position": 2, "events": 2, "caught_up": False}}
    assert [(event.name, event.id) for event in sent] == [(projection_behind("tickets"), f"tickets-behind-{RUN_ID}")]
    assert run("project-tickets", {"name": sent[0].name}).body["caught_up"]


def test_without_names_those_that_are_behind_are_advanced(connection: psycopg.Connection) -> None:
    append(connection)
    assert list(run("advance-projections", {"name": PROJECTIONS_BEHIND}).body) == ["tickets"]
    assert run("advance-projections", {"name": PROJECTIONS_BEHIND}).body == {}


@pytest.mark.usefixtures("fresh")
def test_a_backlog_of_the_relay_is_gone_on_with_at_once(
    connection: psycopg.Connection, sent: list[OutgoingEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    append(connection, "Other", 3)
    monkeypatch.setattr("penstock.relay.outbox.MAX_POSITIONS", 1)
    once = relay.once
    monkeypatch.setattr(relay, "once", lambda: once(seconds=0))
    assert [found["event"] for found in sweep().body["found"]] == [SWEEP_REQUESTED]
    for _ in range(2):
        last = sweep(name=SWEEP_REQUESTED)
    assert last.body == {"found": []}
    assert sum(event.data["count"] for event in sent if event.name == APPENDED) == 3


def store_delivery(connection: psycopg.Connection, delivery_id: str, due: str) -> None:
    connection.execute(
        "insert into raw.webhook_inbox (source, delivery_id, headers, body, received_at, due_at)"
        " values ('shop', %s, '{}', '{}', now(), now() + %s::interval)",
        (delivery_id, due),
    )


@pytest.mark.usefixtures("fresh")
def test_a_delivery_is_found_when_it_is_due(connection: psycopg.Connection, sent: list[OutgoingEvent]) -> None:
    store_delivery(connection, "later", "1 hour")
    assert sweep().body == {"found": []}
    store_delivery(connection, "due", "-1 second")
    sweep()
    assert names(sent) == [DELIVERY_RECEIVED]


def test_a_delivery_that_is_due_within_seconds_is_waited_for(connection: psycopg.Connection) -> None:
    """The database failed it once: nobody would notify of it again before the next sweep."""
    store_delivery(connection, "soon", "2 seconds")
    store_delivery(connection, "later", "1 hour")
    assert run("drain-inbox", {"name": DELIVERY_RECEIVED}).body == {"deliveries": 1}


def test_an_inbox_that_takes_more_than_a_run_goes_on_in_another(
    connection: psycopg.Connection, sent: list[OutgoingEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.inngest.functions.drain_inbox.PORTION", 1)
    monkeypatch.setattr("penstock.inngest.functions.drain_inbox.MOST", 2)
    for number in range(3):
        store_delivery(connection, f"d{number}", "-1 second")
    assert run("drain-inbox", {"name": DELIVERY_RECEIVED}).body == {"deliveries": 2}
    assert names(sent)[-1] == DELIVERY_RECEIVED
    assert run("drain-inbox", {"name": DELIVERY_RECEIVED}).body == {"deliveries": 1}


@pytest.mark.usefixtures("fresh")
def test_views_are_refreshed_only_when_their_tables_have_changed(
    connection: psycopg.Connection, sent: list[OutgoingEvent]
) -> None:
    assert views.outdated_views(connection) == []
    ticket = (
        "insert into desk.tickets (ticket_id, total, status, opened_at, position) values ('t', 1, 'open', now(), 1)"
    )
    changes = (
        ticket,
        "update desk.tickets set total = 2",
        "delete from desk.tickets",
        "truncate desk.tickets",
    )
    for change in changes:
        connection.execute(change.encode())
        flush(connection)
        sweep()
        (asked,) = sent
        assert (asked.name, asked.data) == (VIEWS_REQUESTED, {"views": ["tickets_by_status"]}), change
        assert run("refresh-views", {"name": VIEWS_REQUESTED, "data": asked.data}).status == 200
        del sent[:]
        assert sweep().body == {"found": []}, change
    connection.execute("update ops.views set refreshed_at = now() - interval '25 hours'")
    assert sweep().body["found"] == [{"event": VIEWS_REQUESTED, "views": ["tickets_by_status"]}]


def test_views_that_pg_cron_refreshes_are_left_to_it(connection: psycopg.Connection) -> None:
    """Unless it does not: then they are as old as only a job that fails would leave them."""
    assert views.outdated_views(connection) == ["tickets_by_status"]
    connection.execute("create schema cron")
    connection.execute("create table cron.job (jobname text, active boolean)")
    connection.execute("insert into cron.job values ('penstock-refresh-tickets-by-status', true)")
    assert views.outdated_views(connection) == []
    connection.execute("update ops.views set refreshed_at = now() - interval '61 minutes'")
    assert views.outdated_views(connection) == ["tickets_by_status"]
    connection.execute("update ops.views set refreshed_at = now()")
    connection.execute("update cron.job set active = false")
    assert views.outdated_views(connection) == ["tickets_by_status"]


def flush(connection: psycopg.Connection) -> None:
    """Postgres counts a change up to ten seconds after its commit, unless it is asked to at once."""
    connection.execute("select pg_stat_force_next_flush()")
    connection.execute("select 1")


def test_views_for_which_there_is_no_time_are_asked_for_again(
    connection: psycopg.Connection, sent: list[OutgoingEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection.execute("create materialized view public.a_view as select ticket_id from desk.tickets")
    connection.execute("create unique index on public.a_view (ticket_id)")
    connection.execute("insert into ops.views (view, refreshed_at, duration_ms) values ('a_view', now(), 0)")
    monkeypatch.setitem(
        views.registry._registry, "a_view", views.View("a_view", "materialized", (views.Key("ticket_id", "text"),))
    )
    monkeypatch.setattr("penstock.inngest.functions.refresh_views.SECONDS_A_RUN", -1.0)
    asked = ["tickets_by_status", "a_view"]
    outcome = run("refresh-views", {"name": VIEWS_REQUESTED, "data": {"views": asked}})
    assert (len(outcome.body["views"]), outcome.body["left"]) == (1, ["a_view"])
    assert [(event.name, event.data) for event in sent] == [(VIEWS_REQUESTED, {"views": ["a_view"]})]


def test_what_fails_to_look_keeps_nothing_else_from_being_found(
    connection: psycopg.Connection, sent: list[OutgoingEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings) -> None:
        raise RuntimeError("no")

    store_delivery(connection, "due", "-1 second")
    monkeypatch.setattr("penstock.projections.find_behind", fail)
    outcome = run("sweep", CRON)
    assert (outcome.status, "x-inngest-no-retry" in outcome.headers) == (500, False)
    assert DELIVERY_RECEIVED in names(sent)


def test_a_view_knows_the_tables_below_its_views_and_partitions(connection: psycopg.Connection) -> None:
    connection.execute("create table public.parts (id integer) partition by list (id)")
    connection.execute("create table public.part_1 partition of public.parts for values in (1)")
    connection.execute("create view public.between as select id from public.parts")
    connection.execute("create materialized view public.upper_view as select id from public.between")
    asked = "select penstock.view_sources('upper_view')"
    before = connection.execute(asked).fetchone()
    connection.execute("insert into public.parts values (1)")
    flush(connection)
    assert connection.execute(asked).fetchone() != before
    assert connection.execute("select penstock.view_sources('none')").fetchone() == (None,)


def test_no_event_is_passed_over_while_writers_race(database_url: str, settings: Settings) -> None:
    """Transactions that pause between drawing a position and their commit; sweeps and advances all the while."""

    def write(seed: int) -> int:
        luck, opened = random.Random(seed), 0
        with psycopg.connect(database_url) as own:
            for _ in range(60):
                event_type = luck.choice(["TicketOpened", "Other", "Other", "Other"])
                append(own, event_type)
                time.sleep(luck.random() / 200)
                own.commit()
                opened += event_type == "TicketOpened"
        return opened

    def sweep_all(writers: list[Future[int]]) -> None:
        while not all(writer.done() for writer in writers):
            for name in projections.find_behind(settings):
                projections.advance(settings, name)

    with ThreadPoolExecutor(6) as threads:
        writers = [threads.submit(write, seed) for seed in range(4)]
        for sweeper in [threads.submit(sweep_all, writers) for _ in range(2)]:
            sweeper.result()
        opened = sum(writer.result() for writer in writers)
    for name in projections.find_behind(settings):
        projections.advance(settings, name)
    with pool.connection(settings) as connection:
        assert connection.execute("select count(*) from desk.tickets").fetchone() == (opened,)
