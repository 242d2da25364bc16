"""The doctor: each check says yes where all is well, and what to do where it is not."""

import dataclasses

import psycopg
import pytest
import respx

from penstock import event_store
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.operations import metrics, retention
from penstock.operations.doctor import Check, run_checks
from penstock.pipelines import dead_letters
from penstock.settings import Settings


def checks(settings: Settings) -> dict[str, Check]:
    return {check.name: check for check in run_checks(settings)}


def test_a_healthy_installation_passes(settings: Settings) -> None:
    found = run_checks(settings)
    assert [check.name for check in found] == [
        "database",
        "migrations",
        "writes",
        "timezone",
        "subscriptions",
        "dead letters",
        "runs",
        "imports",
        "pg_cron",
        "inngest",
    ]
    assert all(check.ok for check in found), found


def test_an_unreachable_database_is_said_in_one_line_without_the_password(settings: Settings) -> None:
    away = dataclasses.replace(settings, database_url="postgresql://u:hunter2@127.0.0.1:1/d")
    found = checks(away)["database"]
    assert not found.ok
    assert "hunter2" not in found.message
    assert "\n" not in found.message


def test_a_missing_migration_is_named(connection: psycopg.Connection, settings: Settings) -> None:
    connection.execute("delete from supabase_migrations.schema_migrations where version = '20261121000410'")
    found = run_checks(settings)
    assert [(check.name, check.ok) for check in found] == [("database", True), ("migrations", False), ("inngest", True)]
    assert "20261121000410_penstock_dead_letters" in found[1].message


def test_a_read_only_database_is_noticed(connection: psycopg.Connection, settings: Settings) -> None:
    connection.execute(f"alter database {connection.info.dbname} set default_transaction_read_only = on")
    found = checks(settings)
    assert found["database"].ok
    assert not found["writes"].ok
    assert "the database is read-only, as Supabase makes it when its disk is full" in found["writes"].message
    assert found["subscriptions"].ok


def test_another_time_zone_in_the_database_is_noticed(settings: Settings) -> None:
    found = checks(dataclasses.replace(settings, timezone="Europe/Paris"))["timezone"]
    assert not found.ok
    assert "Europe/Paris" in found.message
    assert "UTC" in found.message


def test_a_subscription_that_stopped_is_named(connection: psycopg.Connection, settings: Settings) -> None:
    event_store.append(connection, "note", "n1", ANY_VERSION, [NewEvent("Noted", {})])
    connection.execute("insert into ops.subscriptions (subscription, position) values ('orders', 0), ('inngest', 1)")
    assert checks(settings)["subscriptions"].ok
    connection.execute("alter table public.event_store disable trigger all")
    connection.execute("update public.event_store set created_at = now() - interval '1 hour'")
    connection.execute("update ops.subscriptions set updated_at = now() - interval '1 hour'")
    found = checks(settings)["subscriptions"]
    assert not found.ok
    assert found.message == "orders is at 0 of 1"


def test_doctor_and_alerts_mean_the_same_by_late(connection: psycopg.Connection, settings: Settings) -> None:
    """However lately a subscription moved: what counts is how long the oldest event waits for it."""
    for number in (1, 2, 3):
        event_store.append(connection, "note", f"n{number}", ANY_VERSION, [NewEvent("Noted", {})])
    rows = "('stopped', 0, now() - interval '1 hour'), ('behind', 1, now()), ('near', 2, now() - interval '1 hour')"
    connection.execute(f"insert into ops.subscriptions (subscription, position, updated_at) values {rows}".encode())
    connection.execute("alter table public.event_store disable trigger all")
    age = "make_interval(secs => case position when 3 then %(late)s - 60 else %(late)s + 60 end)"
    connection.execute(
        f"update public.event_store set created_at = now() - {age}".encode(), {"late": metrics.late_seconds(settings)}
    )
    late = [alert["name"] for alert in metrics.alerts(connection, settings) if alert["kind"] == "late-subscription"]
    assert late == ["behind", "stopped"]
    assert checks(settings)["subscriptions"].message == "behind is at 1 of 3; stopped is at 0 of 3"


def test_how_late_is_late_follows_the_sweep(connection: psycopg.Connection, settings: Settings) -> None:
    event_store.append(connection, "note", "n1", ANY_VERSION, [NewEvent("Noted", {})])
    connection.execute("insert into ops.subscriptions (subscription) values ('behind')")
    connection.execute("alter table public.event_store disable trigger all")
    connection.execute("update public.event_store set created_at = now() - interval '10 minutes'")
    assert checks(settings)["subscriptions"].ok
    assert not checks(dataclasses.replace(settings, sweep_minutes=1))["subscriptions"].ok


def test_a_projection_is_not_late_for_events_that_it_does_not_fold(
    connection: psycopg.Connection, settings: Settings
) -> None:
    """It is not notified of them, so its checkpoint is where its own last event was, or the sweep."""
    event_store.append(connection, "note", "n1", ANY_VERSION, [NewEvent("Noted", {}), NewEvent("Noted", {})])
    connection.execute("insert into ops.subscriptions (subscription, position) values ('tickets', 1), ('inngest', 2)")
    connection.execute("alter table public.event_store disable trigger all")
    connection.execute("update public.event_store set created_at = now() - interval '1 hour'")
    (_, found) = metrics.subscriptions(connection, 2)
    assert (found.subscription, found.position, found.lag, found.lag_seconds) == ("tickets", 1, 0, 0.0)
    connection.execute("update public.event_store set event_type = 'TicketClosed' where position = 2")
    (_, found) = metrics.subscriptions(connection, 2)
    assert (found.lag, found.lag_seconds >= 3600) == (1, True)


def test_open_dead_letters_and_failed_runs_are_counted(connection: psycopg.Connection, settings: Settings) -> None:
    dead_letters.park(connection, "run", "etl", "r1", "no", {})
    connection.execute("insert into ops.runs (pipeline, status) values ('etl', 'failed'), ('etl', 'completed')")
    found = checks(settings)
    assert (found["dead letters"].ok, found["dead letters"].message) == (False, "1 open: penstock retry")
    assert (found["runs"].ok, found["runs"].message) == (False, "1 failed within a day")


def test_imports_that_left_lines_out_are_named_with_their_counts(
    connection: psycopg.Connection, settings: Settings
) -> None:
    """Too many faults: for a week. Held orders: after a day, until they are completed or released."""
    cases = (
        ("faulty", "completed_with_rejects", 5, 0, "6 days"),
        ("faulty-old", "completed_with_rejects", 5, 0, "8 days"),
        ("mended", "completed_with_rejects", 1, 0, "1 hour"),
        ("held", "completed", 0, 1, "25 hours"),
        ("held-old", "completed_with_rejects", 5, 1, "90 days"),
        ("held-new", "completed", 0, 1, "23 hours"),
        ("undone", "undone", 5, 5, "2 days"),
    )
    for name, state, rejected, held, age in cases:
        connection.execute(
            """insert into raw.imports (target, source_name, content_sha256, size_bytes, fingerprint, state, rows_read,
                 loaded, rejected, held, finished_at)
               values ('things', %(name)s, %(name)s, 1, %(name)s, %(state)s, 100, 100 - %(rejected)s - %(held)s,
                 %(rejected)s, %(held)s, now() - %(age)s::interval)""",
            {"name": name, "state": state, "rejected": rejected, "held": held, "age": age},
        )
    found = [alert for alert in metrics.alerts(connection, settings) if alert["kind"] == "incomplete-import"]
    assert [(alert["name"], alert["count"]) for alert in found] == [("held", 1), ("faulty", 5), ("held-old", 6)]
    (row,) = connection.execute("select id from raw.imports where source_name = 'held-old'").fetchall()
    expected = f"import {row[0]} into things: of 100 lines 5 were rejected and 1 are held"
    assert found[-1]["message"] == expected
    check = checks(settings)["imports"]
    assert (check.ok, check.message.split("; ")[-1]) == (False, expected)


def test_a_development_server_must_answer(settings: Settings) -> None:
    with respx.mock:
        respx.get("http://127.0.0.1:8288").respond(200)
        assert checks(dataclasses.replace(settings, inngest_dev="1"))["inngest"].ok
    away = checks(dataclasses.replace(settings, inngest_dev="http://127.0.0.1:1"))["inngest"]
    assert not away.ok
    assert "http://127.0.0.1:1" in away.message


@pytest.mark.parametrize("days", [29, 31])
def test_runs_and_letters_are_kept_for_their_time(
    connection: psycopg.Connection, settings: Settings, days: int
) -> None:
    connection.execute(
        "insert into ops.runs (pipeline, status, started_at)"
        " values ('etl', 'failed', now() - make_interval(days => %s))",
        (days,),
    )
    dead_letters.park(connection, "run", "etl", "open", "no", {})
    connection.execute("update ops.dead_letters set created_at = now() - interval '2 years'")
    purged = retention.purge(settings)
    assert (purged.runs, purged.dead_letters) == (int(days > 30), 0)
    connection.execute("update ops.dead_letters set resolved_at = now() - interval '91 days', resolution = 'dropped'")
    assert retention.purge(settings).dead_letters == 1
