"""Pages end at 4 MB as well as at their limit, with a cursor to go on; nothing is skipped or repeated."""

import tracemalloc
from typing import Any

import psycopg
import pytest

from penstock.event_store.pages import page_of_store, page_of_stream
from penstock.postgres import paging
from penstock.settings import Settings
from tests.integration.http.conftest import Api

LARGE = 4_300_000


def fill(connection: psycopg.Connection, sizes: list[int], stream: str = "T-1") -> None:
    for size in sizes:
        connection.execute(
            "select public.append_event('ticket', %s, -1, gen_random_uuid(), 'Large',"
            " jsonb_build_object('text', repeat('x', %s)))",
            (stream, size),
        )


def pages(api: Api, path: str, cursor: str) -> list[Any]:
    """All pages, each no larger than its largest single event."""
    found, after = [], 0
    while True:
        answer = api.http.get(path, params={cursor: after, "limit": 1000})
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        assert len(answer.content) < paging.MAX_BYTES + 1000 or len(found[-1]["events"]) == 1
        if not found[-1].get("more", found[-1]["next"] is not None):
            return found
        after = found[-1]["next"]


@pytest.mark.parametrize(
    ("path", "cursor"), [("/v1/events", "after"), ("/v1/streams/ticket/T-1/events", "after_version")]
)
def test_events_are_cut_at_four_megabytes(api: Api, connection: psycopg.Connection, path: str, cursor: str) -> None:
    fill(connection, [1_500_000] * 5 + [LARGE] * 2 + [10] * 3)
    found = pages(api, path, cursor)
    assert [len(page["events"]) for page in found] == [2, 2, 1, 1, 1, 3]
    assert [event["version"] for page in found for event in page["events"]] == list(range(1, 11))


def test_a_page_that_was_cut_leaves_its_connection_as_it_was(api: Api, connection: psycopg.Connection) -> None:
    fill(connection, [3_000_000] * 4)
    for _ in range(20):
        assert len(api.http.get("/v1/events").json()["events"]) == 1
        assert api.http.get("/v1/runs").status_code == 200
    query = "select count(*) from pg_stat_activity where datname = current_database() and state = 'active'"
    assert connection.execute(query).fetchone() == (1,)


def test_a_page_takes_no_more_memory_than_its_bytes(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute(
        "select public.append_event('ticket', 'T-1', -1, gen_random_uuid(), 'Large', jsonb_build_object('lists',"
        " (select jsonb_agg('[]'::jsonb) from generate_series(1, 300000)), 'n', n)) from generate_series(1, 20) as n"
    )
    tracemalloc.start()
    try:
        stream = page_of_stream(connection, "ticket", "T-1", after_version=0, max_count=1000)
        store = page_of_store(connection, after=0, max_count=1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (stream.version, stream.more, store.version, store.more) == (3, True, 3, True)
    assert peak < 10 * paging.MAX_BYTES


def test_a_page_is_what_was_stored(api: Api, connection: psycopg.Connection) -> None:
    payload = {"ü": 'quo"te', "numbers": [1.5, 10**30, -0.25, 0.1], "nested": [[{}], None, True]}
    answer = api.http.post(
        "/v1/streams/ticket/T%201/events",
        json={"expected_version": "any", "events": [{"event_type": "Ü", "payload": payload}]},
    ).json()
    [event] = api.http.get("/v1/streams/ticket/T%201/events").json()["events"]
    assert list(event) == [
        "position", "id", "aggregate_type", "aggregate_id", "event_type",
        "payload", "metadata", "version", "schema_version", "created_at",
    ]  # fmt: skip
    assert event["payload"] == payload
    assert event["id"] == answer["events"][0]["id"]
    assert event["metadata"]["source"] == "api"
    assert event["created_at"].endswith("Z")
    assert api.http.get("/v1/events").json() == {"events": [event], "next": event["position"], "more": False}


def test_the_last_page_says_that_it_is_the_last(api: Api, connection: psycopg.Connection) -> None:
    fill(connection, [1] * 4)
    assert api.http.get("/v1/streams/ticket/T-1/events?limit=4").json()["next"] is None
    assert api.http.get("/v1/streams/ticket/T-1/events?limit=3").json()["next"] == 3
    assert api.http.get("/v1/events?limit=4").json()["more"] is False
    assert api.http.get("/v1/events?limit=3").json()["more"] is True


def test_runs_are_cut_at_four_megabytes(api: Api, connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into ops.runs (pipeline, status, started_at, finished_at, rows_in, error)"
        " select 'p', 'failed', now() - make_interval(mins => n), now(), n, repeat('x', 1500000)"
        " from generate_series(1, 5) as n"
    )
    seen: list[list[int]] = []
    before: dict[str, str] = {}
    while True:
        page = api.http.get("/v1/runs", params={"limit": 1000, **before}).json()
        seen.append([run["rows_in"] for run in page["runs"]])
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert seen == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize(
    "after",
    [
        "W1tbW1tbW1tb" * 150,
        "W" + "1tbW" * 466 + "1tb",
        "WyJ0aWNrZXRzX2J5X3N0YXR1cyIsICJcdWQ4MDAiXQ",
        "WyJ0aWNrZXRzX2J5X3N0YXR1cyIsICJcdTAwMDAiXQ",
        "WyJ0aWNrZXRzX2J5X3N0YXR1cyIsICIyMDEwLTEyLTAxIiwgIlx1ZDgwMCJd",
        "WyJ0aWNrZXRzX2J5X3N0YXR1cyIsIDFlOTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ",
        "é",
    ],
)
def test_a_view_cursor_that_is_not_one_is_refused(api: Api, after: str) -> None:
    answer = api.http.get("/v1/views/tickets_by_status", params={"after": after})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "after")
