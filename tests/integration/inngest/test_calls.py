"""Functions driven by the real call protocol: results, steps, and what errors tell Inngest."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import respx

from penstock import event_store
from penstock.errors import DatabaseUnavailable, VersionConflict
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.ingest import files
from penstock.pipelines.dead_letters import list_dead_letters
from penstock.pipelines.runs import list_runs
from penstock.relay.event_names import APPENDED, PROJECTIONS_BEHIND
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import Settings
from tests.integration.inngest.inngest_calls import RUN_ID, call, run

OPENED_AT = "2010-12-01T08:26:00Z"
CRON = {"name": "inngest/scheduled.timer"}


TICKET = {
    "opened_at": OPENED_AT,
    "lines": [{"part": "85123A", "quantity": 6, "price": "2.550"}],
}


def open_ticket(connection: psycopg.Connection, ticket_id: str = "536365", *, closed: bool = True) -> int:
    metadata = {"occurred_at": OPENED_AT}
    events = [NewEvent("TicketOpened", {"ticket_id": ticket_id, **TICKET}, metadata)]
    events += [NewEvent("TicketClosed", {}, metadata)] if closed else []
    return event_store.append(connection, "ticket", ticket_id, ANY_VERSION, events).position


def test_a_projection_catches_up_in_one_call(connection: psycopg.Connection) -> None:
    position = open_ticket(connection)
    outcome = run("project-tickets", {"name": "projection/tickets.behind"})
    assert (outcome.status, outcome.body) == (200, {"position": position, "events": 2, "caught_up": True})
    assert outcome.steps == {}
    assert connection.execute("select ticket_id, status, total from desk.tickets").fetchall() == [
        ("536365", "closed", Decimal("15.300"))
    ]


def test_a_projection_far_behind_goes_on_by_steps(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        open_ticket(connection, f"o{number}")
    monkeypatch.setattr("penstock.projections.runner.BATCH_SIZE", 2)
    monkeypatch.setattr("penstock.inngest.projection_function.SECONDS_BEFORE_STEPS", 0.0)
    monkeypatch.setattr("penstock.inngest.projection_function.SECONDS_A_STEP", 0.0)
    outcome = run("project-tickets", {"name": "projection/tickets.behind"})
    assert outcome.status == 200
    assert outcome.body["caught_up"] is True
    assert list(outcome.steps) == [f"advance-{number}" for number in range(1, len(outcome.steps) + 1)]
    assert outcome.steps
    assert connection.execute("select count(*) from desk.tickets").fetchone() == (4,)


def test_wakes_within_a_minute_share_a_run_and_idle_ones_leave_none(connection: psycopg.Connection) -> None:
    for number in range(3):
        open_ticket(connection, f"o{number}")
        run("project-tickets", {"name": "projection/tickets.behind"})
        run("project-tickets", {"name": "projection/tickets.behind"})
    (found,) = list_runs(connection)
    assert (found.pipeline, found.status, found.rows_in, found.rows_out) == ("project_tickets", "completed", 6, 6)
    assert found.details["wakes"] == 3


def test_views_are_refreshed_without_a_step(connection: psycopg.Connection) -> None:
    open_ticket(connection)
    run("project-tickets", {"name": "projection/tickets.behind"})
    outcome = run("refresh-views", {"name": "views/refresh.requested"})
    names = ["tickets_by_status"]
    assert outcome.steps == {}
    assert [view["view"] for view in outcome.body["views"]] == names
    assert connection.execute("select total from public.tickets_by_status").fetchone() == (Decimal("15.300"),)
    assert [found.details["view"] for found in list_runs(connection, pipeline="refresh_views")] == names[::-1]


def test_only_the_named_views_are_refreshed() -> None:
    outcome = run("refresh-views", {"name": "views/refresh.requested", "data": {"views": ["tickets_by_status"]}})
    assert [view["view"] for view in outcome.body["views"]] == ["tickets_by_status"]


@pytest.mark.parametrize("named", [["nothing"], ["tickets_by_status", 5], "tickets_by_status", [], ["ticket_days"]])
def test_a_wrong_view_is_refused_for_good(named: object) -> None:
    outcome = run("refresh-views", {"name": "views/refresh.requested", "data": {"views": named}})
    assert outcome.status == 500
    assert outcome.headers["x-inngest-no-retry"] == "true"


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, verb: str = "penstock.projections.advance") -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(verb, fail)


def test_a_passing_error_is_tried_again_when_the_sender_says(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, DatabaseUnavailable("Postgres is away", retry_after=42))
    before = datetime.now(UTC)
    outcome = run("project-tickets", {"name": "projection/tickets.behind"})
    assert outcome.status == 500
    assert "x-inngest-no-retry" not in outcome.headers
    wait = datetime.fromisoformat(outcome.headers["retry-after"]) - before
    assert 40 <= wait.total_seconds() <= 45


def test_a_permanent_error_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, VersionConflict("stream is at version 3", expected=2, actual=3))
    outcome = run("project-tickets", {"name": "projection/tickets.behind"})
    assert outcome.headers["x-inngest-no-retry"] == "true"
    assert outcome.body["message"] == "VersionConflict: stream is at version 3"


def test_an_unforeseen_error_is_tried_again_and_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        raise OSError("could not open postgresql://penstock:hunter2@db.example:5432/x")
    except OSError as cause:
        error = RuntimeError("failed with postgresql://penstock:hunter2@db.example:5432/x and Bearer abcdefgh12345678")
        error.__cause__ = cause
    failing(monkeypatch, error)
    outcome = run("project-tickets", {"name": "projection/tickets.behind"})
    assert outcome.status == 500
    assert "x-inngest-no-retry" not in outcome.headers
    text = str(outcome.body)
    assert "hunter2" not in text
    assert "abcdefgh" not in text
    assert "RuntimeError: failed with postgresql://penstock:***@db.example" in text


def test_a_failed_run_becomes_one_dead_letter_however_often_it_is_told(
    connection: psycopg.Connection, settings: Settings
) -> None:
    event = {
        "name": "inngest/function.failed",
        "data": {
            "function_id": "penstock-run-daily-etl",
            "run_id": RUN_ID,
            "error": {"name": "RetryAfterError", "message": "DatabaseUnavailable: postgresql://u:hunter2@h/d"},
            "event": {"name": "etl/daily.requested", "data": {"from": "2010-12-01", "to": "2010-12-02"}, "id": "x"},
        },
    }
    for _ in range(3):
        assert run("record-failure", event).body["recorded"] is True
    (letter,) = list_dead_letters(connection)
    assert (letter.kind, letter.source, letter.reference) == ("run", "run_daily_etl", RUN_ID)
    assert letter.reason == "DatabaseUnavailable: postgresql://u:***@h/d"
    assert letter.payload["events"] == [
        {"name": "etl/daily.requested", "data": {"from": "2010-12-01", "to": "2010-12-02"}}
    ]


WRAPPED = {"error": {"error": "Unable to reach SDK URL", "name": "Error", "message": "Unable to reach SDK URL"}}


UNREACHABLE = "Error: Unable to reach SDK URL"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"name": "Error", "message": json.dumps(WRAPPED)}, UNREACHABLE),
        ({"error": json.dumps(WRAPPED)}, UNREACHABLE),
        (WRAPPED, UNREACHABLE),
        ({"message": json.dumps({"message": json.dumps(WRAPPED)})}, UNREACHABLE),
        ({"name": "TypeError", "message": '{"a": 1}'}, '{"a": 1}'),
        ({"name": "TypeError", "message": "{not JSON"}, "TypeError: {not JSON"),
        ({"name": "TypeError", "message": 7}, "TypeError: 7"),
        ({}, "Error: it failed without saying why"),
        ({"message": '{"a":' * 5_000}, '{"a":' * 20),
    ],
)
def test_the_reason_of_a_failure_is_plain_text_however_often_it_was_wrapped(
    connection: psycopg.Connection, error: dict[str, Any], reason: str
) -> None:
    data = {"function_id": "penstock-refresh-views", "run_id": "r9", "error": error, "event": {"name": "a", "data": {}}}
    assert run("record-failure", {"name": "inngest/function.failed", "data": data}).status == 200
    (letter,) = list_dead_letters(connection)
    assert letter.reason[: max(len(reason), 100)] == reason


def test_a_wished_refresh_is_correlated_with_its_wish(connection: psycopg.Connection) -> None:
    run("refresh-views", {"name": "views/refresh.requested", "id": "asked-2", "data": {"views": ["tickets_by_status"]}})
    assert [found.correlation_id for found in list_runs(connection)] == ["asked-2"]


def test_what_a_forgetful_server_took_lately_is_told_again(
    connection: psycopg.Connection, sent: list[OutgoingEvent]
) -> None:
    open_ticket(connection)
    run("sweep", CRON)
    run("advance-projections", {"name": PROJECTIONS_BEHIND})
    del sent[:]
    lost = {"name": "penstock/sweep.requested", "data": {"forgotten": True}}
    assert run("sweep", lost).status == 200
    assert [event.data["count"] for event in sent if event.name == APPENDED] == [2]


def test_a_failed_batch_is_kept_with_all_its_events(connection: psycopg.Connection) -> None:
    events = [{"name": "event/Told", "data": {"n": number}} for number in range(3)]
    data = {"function_id": "penstock-listener", "run_id": "r3", "event": events[0], "events": events}
    run("record-failure", {"name": "inngest/function.failed", "data": data})
    (letter,) = list_dead_letters(connection)
    assert letter.payload["events"] == events


def test_a_failed_cron_run_is_kept_with_the_event_that_runs_it_again(connection: psycopg.Connection) -> None:
    data = {"function_id": "penstock-refresh-views", "run_id": "r1", "event": {"name": "inngest/scheduled.timer"}}
    run("record-failure", {"name": "inngest/function.failed", "data": data})
    (letter,) = list_dead_letters(connection)
    assert letter.payload["events"] == [{"name": "views/refresh.requested", "data": {}}]
    assert letter.reason == "it failed without saying why"


def test_failures_of_other_apps_and_of_itself_are_left_alone(connection: psycopg.Connection) -> None:
    for function_id in ("penstock-record-failure", "another-app-function"):
        data = {"function_id": function_id, "run_id": "r1"}
        assert run("record-failure", {"name": "inngest/function.failed", "data": data}).body == {"recorded": False}
    assert list_dead_letters(connection) == []


def test_an_import_without_an_id_is_refused_for_good() -> None:
    outcome = run("import-file", {"name": "import/file.requested", "data": {"import_id": "../etc/passwd"}})
    assert outcome.headers["x-inngest-no-retry"] == "true"
    assert outcome.body["message"] == "InvalidInput: import_id: is not the id of an import"


def test_an_unknown_import_is_refused_for_good() -> None:
    outcome = run("import-file", {"name": "import/file.requested", "data": {"import_id": str(uuid4())}})
    assert outcome.headers["x-inngest-no-retry"] == "true"
    assert outcome.body["message"].startswith("NotFound: ")


CSV = (
    b"ticket_id,part,title,quantity,opened_at,price\n"
    b"536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55\n"
    b"536366,22633,WARMER,6,2010-12-01 08:28:00,1.85\n"
    b"536367,22633,WARMER,-6,2010-12-01 08:34:00,1.85\n"
)


def test_an_import_is_advanced_by_steps_and_its_events_are_told(
    connection: psycopg.Connection,
    settings: Settings,
    sent: list[OutgoingEvent],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(settings, storage_folder=tmp_path)
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    monkeypatch.setattr("penstock.inngest.functions.import_file.SECONDS_A_STEP", 0.0)
    imported, _ = files.create_import(settings, "tickets", CSV, name="a.csv")
    with respx.mock:
        route = respx.post("http://127.0.0.1:8288/e/NO_EVENT_KEY_SET").respond(200, json={"ids": ["1"]})
        outcome = run("import-file", {"name": "import/file.requested", "data": {"import_id": str(imported.id)}})
    assert outcome.status == 200, outcome.body
    (asked,) = json.loads(route.calls.last.request.content)
    assert (asked["name"], asked["data"]) == ("import/file.loaded", {"import_id": str(imported.id)})
    assert len(outcome.steps) > 1
    counts = {"read": 3, "loaded": 2, "skipped": 0, "rejected": 1, "held": 0}
    assert outcome.body == {
        "import_id": str(imported.id),
        "state": "completed_with_rejects",
        "is_final": True,
        **counts,
    }
    assert sum(event.data["count"] for event in sent if event.name == APPENDED) == 4
    (found,) = list_runs(connection, pipeline="import_file")
    assert (found.status, found.rows_in, found.rows_out, found.rows_rejected) == ("completed", 3, 2, 1)
    assert found.correlation_id == str(imported.id)


def test_an_import_of_a_file_that_cannot_be_read_ends_as_failed(
    connection: psycopg.Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, storage_folder=tmp_path)
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    imported, _ = files.create_import(settings, "tickets", b"<html></html>", name="a.csv")
    outcome = run("import-file", {"name": "import/file.requested", "data": {"import_id": str(imported.id)}})
    assert (outcome.status, outcome.body["state"]) == (200, "failed")
    (found,) = list_runs(connection, pipeline="import_file")
    assert found.status == "failed"
    assert found.error


def test_imports_that_nobody_works_on_are_requested_again(
    connection: psycopg.Connection, settings: Settings, sent: list[OutgoingEvent]
) -> None:
    ages = {"lost": 3, "young": 1, "done": 60, "dead": 20, "busy": 10}
    states = {"lost": "waiting", "young": "waiting", "done": "failed", "dead": "loading", "busy": "loading"}
    ids = {}
    for name, minutes in ages.items():
        imported, _ = files.create_import(settings, "tickets", CSV + name.encode(), name=name)
        ids[name] = str(imported.id)
        connection.execute(
            "update raw.imports set state = %s, updated_at = now() - make_interval(mins => %s) where id = %s",
            (states[name], minutes, imported.id),
        )
    assert run("sweep", CRON).steps == {}
    requested = [event.data["import_id"] for event in sent if event.name == "import/file.requested"]
    assert requested == [ids["lost"], ids["dead"]]


def test_stored_deliveries_become_events_whatever_told_of_them(
    connection: psycopg.Connection, sent: list[OutgoingEvent]
) -> None:
    for number in range(450):
        body = json.dumps({"type": "thing.made", "timestamp": OPENED_AT, "data": {"id": f"t{number}"}}).encode()
        connection.execute(
            "insert into raw.webhook_inbox (source, delivery_id, headers, body, received_at)"
            " values ('shop', %s, '{}', %s, now())",
            (f"d{number}", body),
        )
    outcome = run("drain-inbox", {"name": "webhook/delivery.received"})
    assert outcome.body == {"deliveries": 450}
    assert connection.execute("select count(*) from public.event_store").fetchone() == (450,)
    assert sum(event.data["count"] for event in sent) == 450
    assert run("drain-inbox", {"name": "webhook/delivery.received"}).body == {"deliveries": 0}
    assert [found.rows_in for found in list_runs(connection, pipeline="drain_inbox")] == [450]


def test_history_is_purged(connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into ops.runs (pipeline, status, started_at) values"
        " ('old', 'completed', now() - interval '31 days'), ('new', 'completed', now()),"
        " ('killed', 'running', now() - interval '2 days')"
    )
    assert run("purge-history", {"name": "inngest/scheduled.timer"}).body == {
        "runs": 1,
        "dead_letters": 0,
        "abandoned": 1,
        "deliveries": 0,
        "imports": 0,
        "uploads": 0,
        "files": 0,
    }
    rows = connection.execute("select pipeline, status from ops.runs order by pipeline").fetchall()
    assert rows == [("killed", "failed"), ("new", "completed")]


def test_a_call_for_an_unknown_function_says_so() -> None:
    response = call("nothing", {"name": APPENDED})
    assert response.status_code == 500
    assert response.json()["code"] == "function_not_found"
