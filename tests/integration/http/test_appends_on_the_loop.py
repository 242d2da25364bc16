"""Single appends run on the event loop: one that waits or breaks must not harm the others, nor the server's end it."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from uuid import uuid4

import httpx
import psycopg
import pytest

from penstock.http.resources import streams
from penstock.postgres import append_pool
from penstock.settings import Settings
from tests.integration.http.conftest import Api, running
from tests.waiting import PATIENCE_SECONDS


def append(api: Api, stream: str, expected: object = "any", **event: object) -> httpx.Response:
    events = [{"event_type": "TicketOpened", "payload": {"n": 1}, **event}]
    return api.http.post(f"/v1/streams/ticket/{stream}/events", json={"expected_version": expected, "events": events})


@contextmanager
def locked(settings: Settings, stream: str) -> Iterator[None]:
    """Hold what an append to the stream needs, by a transaction that appended and has not ended."""
    with psycopg.connect(settings.database_url) as connection:
        connection.execute(
            "select public.append_event('ticket', %s, -1, gen_random_uuid(), 'TicketOpened', '{}')", (stream,)
        )
        yield
        connection.rollback()


def wait_for_blocked(settings: Settings, number: int, then: str = "pid") -> None:
    """Until so many of the app's connections wait for a lock; `then` is done to each of them."""
    blocked: list[object] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        while len(blocked) < number:
            assert time.monotonic() < deadline
            time.sleep(0.02)
            blocked = connection.execute(
                f"select {then} from pg_stat_activity where wait_event_type = 'Lock'"
                " and application_name = 'penstock' and datname = current_database()"
            ).fetchall()


def test_a_locked_stream_holds_up_no_other(api: Api) -> None:
    append(api, "held")
    with ThreadPoolExecutor(4) as threads, locked(api.settings, "held"):
        waiting = [threads.submit(append, api, "held") for _ in range(4)]
        wait_for_blocked(api.settings, 4)
        for number in range(20):
            assert append(api, f"free-{number}").status_code == 201
        assert not any(each.done() for each in waiting)
    assert sorted(each.result().json()["version"] for each in waiting) == [2, 3, 4, 5]


def test_many_at_once_are_all_stored(api: Api) -> None:
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: append(api, "hot"), range(240)))
    assert sorted(each.json()["version"] for each in answers) == list(range(1, 241))
    assert api.sent.wakes == 240


def test_of_many_that_expect_one_version_one_wins(api: Api) -> None:
    with ThreadPoolExecutor(24) as threads:
        answers = list(threads.map(lambda _: append(api, "hot", "no_stream"), range(48)))
    refused = [each for each in answers if each.status_code == 409]
    assert len(refused) == 47
    assert all(each.json()["actual"] == 1 and each.json()["expected"] == "no_stream" for each in refused)


def test_the_same_append_at_the_same_time_is_stored_once(api: Api) -> None:
    with ThreadPoolExecutor(24) as threads:
        sent = str(uuid4())
        answers = list(threads.map(lambda _: append(api, "hot", 0, id=sent), range(48)))
    assert {each.status_code for each in answers} == {201}
    assert len({each.json()["position"] for each in answers}) == 1
    assert sorted(each.json()["duplicate"] for each in answers) == [False] + [True] * 47


def test_an_append_whose_connection_dies_is_a_503_and_its_repeat_is_stored_once(api: Api) -> None:
    sent = str(uuid4())
    append(api, "held")
    with ThreadPoolExecutor(1) as threads, locked(api.settings, "held"):
        waiting = threads.submit(append, api, "held", id=sent)
        wait_for_blocked(api.settings, 1, then="pg_terminate_backend(pid, 5000)")
        answer = waiting.result()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["type"] == "urn:penstock:problem:database-unavailable"
    assert append(api, "held", id=sent).json()["version"] == 2


def test_without_a_database_the_answer_is_a_503_at_once(settings: Settings, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(append_pool, "ACQUIRE_TIMEOUT_SECONDS", 3600)  # longer than the client's
    nowhere = f"host={tmp_path} dbname=nowhere"
    with running(replace(settings, database_url=nowhere)) as api:
        answer = append(api, "T-1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["detail"] == "the database cannot be reached at the moment"


def test_where_all_connections_are_held_up_the_next_is_told_so_in_time(settings: Settings, monkeypatch) -> None:
    with running(settings) as api, ThreadPoolExecutor(append_pool.MAX_CONNECTIONS) as threads:
        append(api, "held")
        with locked(settings, "held"):
            waiting = [threads.submit(append, api, "held") for _ in range(append_pool.MAX_CONNECTIONS)]
            wait_for_blocked(settings, append_pool.MAX_CONNECTIONS)
            monkeypatch.setattr(append_pool, "ACQUIRE_TIMEOUT_SECONDS", 0.3)
            answer = append(api, "free")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert {each.result().status_code for each in waiting} == {201}


def test_an_append_in_flight_is_answered_before_the_server_ends(settings: Settings) -> None:
    with ExitStack() as closing, ThreadPoolExecutor(1) as threads:
        with running(settings) as api:
            append(api, "held")
            held = locked(settings, "held")
            held.__enter__()
            own = replace(
                api, http=closing.enter_context(httpx.Client(base_url=api.http.base_url, timeout=PATIENCE_SECONDS))
            )
            waiting = threads.submit(append, own, "held")
            wait_for_blocked(settings, 1)
            threading.Timer(0.5, held.__exit__, (None, None, None)).start()
            # leaving tells the server to end while the append waits
        answer = waiting.result()
    assert (answer.status_code, answer.json()["version"]) == (201, 2)


def test_a_host_that_freezes_the_process_gets_its_appends_from_the_pool(api: Api, monkeypatch) -> None:
    async def refused(*_: object) -> None:
        raise AssertionError("on the loop")

    monkeypatch.setenv("VERCEL", "1")
    monkeypatch.setattr(streams, "append_one", refused)
    assert append(api, "T-1").status_code == 201
    assert append(api, "T-1", "no_stream").json()["actual"] == 1


@pytest.mark.parametrize("expected", ["any", "no_stream", "stream_exists", 0, 1, 2, 2**31 - 1])
@pytest.mark.parametrize("stored", [0, 1, 2])
@pytest.mark.parametrize("event", [{}, {"schema_version": 7}], ids=["new", "schema"])
def test_one_event_answers_like_the_path_through_threads(
    api: Api, monkeypatch, expected: object, stored: int, event: dict[str, object]
) -> None:
    answers = []
    for path in ("loop", "thread"):
        if path == "thread":
            monkeypatch.setenv("VERCEL", "1")
        for _ in range(stored):
            append(api, path)
        answer = append(api, path, expected, **event)
        told = {key: value for key, value in answer.json().items() if key not in _OF_EACH}
        answers.append((answer.status_code, str(told).replace(path, "…")))
    assert answers[0] == answers[1]


_OF_EACH = ("position", "events", "correlation_id")
