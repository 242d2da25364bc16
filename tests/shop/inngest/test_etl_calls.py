"""The daily ETL and the shop's views, driven by the real call protocol."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg
import pytest
import respx

from penstock import event_store
from penstock.errors import DatabaseUnavailable, InvalidInput
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.pipelines.runs import list_runs, run_id_of
from penstock.relay.event_names import IMPORT_LOADED, VIEWS_REQUESTED, projection_behind
from tests.integration.inngest.inngest_calls import RUN_ID, Outcome, run
from tests.shop.registry import MATERIALIZED

PLACED_AT = "2010-12-01T08:26:00Z"


ORDER = {
    "customer_id": "17850",
    "currency": "GBP",
    "country": "United Kingdom",
    "placed_at": PLACED_AT,
    "items": [{"product_id": "85123A", "name": "HOLDER", "category": None, "quantity": 6, "unit_price": "2.550"}],
    "total": "15.300",
}


def place_order(connection: psycopg.Connection, order_id: str = "536365", *, completed: bool = True) -> int:
    metadata = {"occurred_at": PLACED_AT}
    events = [NewEvent("OrderPlaced", {"order_id": order_id, **ORDER}, metadata)]
    events += [NewEvent("OrderCompleted", {}, metadata)] if completed else []
    return event_store.append(connection, "order", order_id, ANY_VERSION, events).position


def etl(**event: Any) -> Outcome:
    return run("run-daily-etl", {"name": "etl/daily.requested", **event})


def test_the_etl_passes_references_between_its_three_steps(connection: psycopg.Connection) -> None:
    place_order(connection)
    outcome = etl(id="asked-1", data={"from": "2010-11-30", "to": "2010-12-02"})
    assert outcome.status == 200, outcome.body
    assert list(outcome.steps) == ["find-days", "extract", "transform", "load"]
    assert outcome.steps["find-days"] == {"batches": [[["2010-11-30", "2010-12-02"]]], "more": False}
    batch = str(run_id_of(RUN_ID))
    extracted = {"batch_id": batch, "orders": 1, "days": 3, "from": "2010-11-30", "to": "2010-12-02"}
    assert outcome.steps["extract"] == extracted
    assert outcome.body == {**extracted, "more": False}
    rows = connection.execute("select day::text, order_count, total_revenue from public.daily_analytics order by day")
    assert rows.fetchall() == [
        ("2010-11-30", 0, Decimal(0)),
        ("2010-12-01", 1, Decimal("15.300")),
        ("2010-12-02", 0, Decimal(0)),
    ]
    (found,) = list_runs(connection, pipeline="run_daily_etl")
    assert (found.status, found.rows_in, found.rows_out, found.correlation_id) == ("completed", 1, 3, "asked-1")
    assert found.id == UUID(batch)


def test_the_nightly_etl_takes_its_day_from_the_event(connection: psycopg.Connection) -> None:
    place_order(connection)
    called = datetime(2010, 12, 3, 2, 0, tzinfo=UTC)
    outcome = run("run-daily-etl", {"name": "inngest/scheduled.timer", "ts": int(called.timestamp() * 1000)})
    assert (outcome.body["from"], outcome.body["to"]) == ("2010-11-30", "2010-12-02")
    assert connection.execute("select count(*) from public.daily_analytics where order_count = 1").fetchone() == (1,)


def test_the_nightly_etl_goes_on_in_portions(connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shop.figures.daily.PORTION", 2)
    place_order(connection)
    called = datetime(2010, 12, 6, 2, 0, tzinfo=UTC)
    outcome = run("run-daily-etl", {"name": "inngest/scheduled.timer", "ts": int(called.timestamp() * 1000)})
    assert outcome.status == 200, outcome.body
    steps = [f"{step}{number}" for number in ("", "-2", "-3") for step in ("extract", "transform", "load")]
    assert list(outcome.steps) == ["find-days", *steps]
    assert (outcome.body["from"], outcome.body["to"], outcome.body["days"]) == ("2010-12-01", "2010-12-05", 5)
    assert connection.execute("select count(*), sum(order_count) from public.daily_analytics").fetchone() == (5, 1)
    (found,) = list_runs(connection, pipeline="run_daily_etl")
    assert (found.status, found.rows_in, found.rows_out) == ("completed", 1, 5)


def test_changed_days_alone_can_be_asked_for(connection: psycopg.Connection) -> None:
    place_order(connection)
    assert etl(data={"marked": True}).body["days"] == 1
    outcome = etl(data={"marked": True})
    assert (outcome.body["days"], outcome.body["from"], outcome.body["to"]) == (0, None, None)


def test_after_an_import_its_days_are_computed_and_the_views_asked_for(connection: psycopg.Connection) -> None:
    place_order(connection)
    with respx.mock:
        route = respx.post("http://127.0.0.1:8288/e/NO_EVENT_KEY_SET").respond(200, json={"ids": ["1"]})
        outcome = run("run-daily-etl", {"name": IMPORT_LOADED})
    assert (outcome.status, outcome.body["days"]) == (200, 1)
    assert [event["name"] for event in json.loads(route.calls.last.request.content)] == [VIEWS_REQUESTED]
    assert etl(data={"marked": True}).status == 200, "asked for by others, nothing is sent"


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ({"from": "2010-12-01"}, "to"),
        ({"from": "yesterday", "to": "2010-12-31"}, "from"),
        ({"from": 20101201, "to": "2010-12-31"}, "from"),
        ({"from": "2010-12-31", "to": "2010-12-01"}, "from"),
    ],
)
def test_the_etl_refuses_wrong_days_for_good(data: dict[str, Any], names: str) -> None:
    outcome = etl(data=data)
    assert outcome.status == 500
    assert outcome.headers["x-inngest-no-retry"] == "true"
    assert outcome.body["message"].startswith(f"InvalidInput: {names}: ")


def test_all_views_are_refreshed_in_one_call(connection: psycopg.Connection) -> None:
    place_order(connection)
    run("project-orders", {"name": projection_behind("orders")})
    outcome = run("refresh-views", {"name": "views/refresh.requested"})
    names = list(MATERIALIZED)
    assert outcome.steps == {}
    assert [view["view"] for view in outcome.body["views"]] == names
    assert connection.execute("select revenue from public.monthly_revenue").fetchone() == (Decimal("15.300"),)
    assert [found.details["view"] for found in list_runs(connection, pipeline="refresh_views")] == names[::-1]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, verb: str = "penstock.projections.advance") -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise error

    monkeypatch.setattr(verb, fail)


def test_a_passing_error_in_a_step_is_tried_again_when_the_sender_says(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, DatabaseUnavailable("Postgres is away", retry_after=42), "shop.figures.extract")
    outcome = etl(data={"from": "2010-12-01", "to": "2010-12-01"})
    assert outcome.status == 500
    assert "retry-after" in outcome.headers


def test_an_unforeseen_error_in_a_step_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, RuntimeError("password=hunter2"), "shop.figures.extract")
    outcome = etl(data={"from": "2010-12-01", "to": "2010-12-01"})
    assert outcome.status in (206, 500)
    assert "hunter2" not in str(outcome.body)


def test_runs_of_one_cron_minute_have_correlation_ids_of_their_own(connection: psycopg.Connection) -> None:
    """Inngest gives all firings of a minute one event id, their time."""
    firing = {"name": "inngest/scheduled.timer", "id": "2026-11-21T02:00:00Z"}
    assert run("refresh-views", firing, run_id="01KAHV5T7M0000000000000001").status == 200
    assert run("run-daily-etl", firing, run_id="01KAHV5T7M0000000000000002").status == 200
    found = {(run.pipeline, run.correlation_id) for run in list_runs(connection)}
    assert found == {
        ("refresh_views", "01KAHV5T7M0000000000000001"),
        ("run_daily_etl", "01KAHV5T7M0000000000000002"),
    }


def test_a_failed_run_ends_its_row_among_the_runs(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, InvalidInput("no"), "shop.figures.transform")
    etl(data={"from": "2010-12-01", "to": "2010-12-02"})
    assert [found.status for found in list_runs(connection)] == ["running"]
    data = {
        "function_id": "penstock-run-daily-etl",
        "run_id": RUN_ID,
        "error": {"message": "no", "name": "InvalidInput"},
    }
    run("record-failure", {"name": "inngest/function.failed", "data": data})
    assert [(found.status, found.error) for found in list_runs(connection)] == [("failed", "InvalidInput: no")]
