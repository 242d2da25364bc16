"""The local Inngest stand-in, held to the protocol: every feature driven through the real SDK over real HTTP.

Over 400 lines because all tests share one server and one served app, which take seconds to start.
"""

import base64
import itertools
import json
import statistics
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastapi
import inngest
import pytest
import uvicorn

from penstock.local.inngest_messages import next_firing
from penstock.local.inngest_store import ulid
from penstock.local.inngest_timing import FAST, MEASURED, timing_of
from tests.integration.local.inngest_conformance import functions, stage
from tests.integration.local.inngest_conformance.stage import Journal, Stage


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage.stage(tmp_path_factory.mktemp("inngest"), functions.make) as running:
        yield running


@pytest.fixture
def case() -> str:
    return uuid.uuid4().hex


def values(journal: Journal, case: str, what: str, field: str) -> list[Any]:
    return [note.data[field] for note in journal.of(case, what)]


def gaps(journal: Journal, case: str, what: str) -> list[float]:
    times = [note.at for note in journal.of(case, what)]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_an_app_registers_when_it_is_asked_by_put(shop: Stage) -> None:
    described = shop.http.get(f"{shop.server_url}/dev").json()
    assert {"shop-plain", "shop-hopeless", "shop-hopeless-failure"} <= {f["id"] for f in described["functions"]}
    assert described["handlers"] == [shop.app_url]
    assert shop.http.get(f"{shop.server_url}/health").json()["status"] == 200


def test_registration_says_whether_something_changed(shop: Stage) -> None:
    assert shop.http.put(shop.app_url).json() == {"ok": True, "modified": False}


def test_a_function_gets_its_event_and_returns_a_result(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/plain", case)
    run = shop.ended(event_id)
    event = shop.journal.of(case)[0].data["event"]
    assert (event.name, event.id, event.data) == ("shop/plain", event_id, {"case": case, "n": 0})
    assert abs(event.ts / 1000 - time.time()) < 10
    assert (run["status"], run["output"], run["function_id"]) == ("Completed", {"seen": 0}, "shop-plain")
    detail = shop.http.get(f"{shop.server_url}/v1/runs/{run['run_id']}").json()["data"]
    assert detail == run
    assert shop.journal.of(case)[0].data["run_id"] == run["run_id"]


def test_one_request_carries_many_events_and_their_ids_in_its_order(shop: Stage, case: str) -> None:
    ids = shop.send("shop/plain", case, count=200)
    shop.journal.wait(case, "plain", 200)
    assert [shop.ended(ids[n])["output"] for n in (0, 57, 199)] == [{"seen": 0}, {"seen": 57}, {"seen": 199}]


def test_events_of_one_request_run_in_any_order(shop: Stage, case: str) -> None:
    """One at a time, so that the order in which they run is the order in which they were taken."""
    shop.send("shop/alone", case, count=8, key="same")
    shop.send("shop/alone", f"{case} again", count=8, key="same")
    orders = [[note.data["n"] for note in shop.journal.wait(name, "alone ends", 8)] for name in (case, f"{case} again")]
    assert [sorted(order) for order in orders] == [list(range(8))] * 2
    assert orders != [list(range(8))] * 2


def test_an_event_id_counts_once_in_24_hours(shop: Stage, case: str) -> None:
    event = inngest.Event(name="shop/plain", id=f"order-{case}", data={"case": case, "n": 1})
    first = shop.client.send_sync([event, event])
    again = shop.client.send_sync(event)
    shop.send("shop/plain", f"{case} after")
    shop.journal.wait(f"{case} after", "plain")
    assert len({*first, *again}) == 3
    assert len(shop.journal.of(case, "plain")) == 1
    assert len(shop.runs(f"order-{case}")) == 1


def test_a_repeated_request_of_the_sdk_counts_once(shop: Stage, case: str) -> None:
    entropy = uuid.uuid4().bytes[:6] + b"\xff\xff\xff\xfe"
    answers = [seeded(shop, case, f"1743130137367,{base64.b64encode(entropy).decode()}") for _ in range(2)]
    assert answers[0] == answers[1]
    expected = [ulid(1743130137.367, entropy[:6] + tail) for tail in (b"\xff\xff\xff\xff", b"\0\0\0\0")]
    assert answers[0] == expected
    shop.send("shop/plain", f"{case} after")
    shop.journal.wait(f"{case} after", "plain")
    assert len(shop.journal.wait(case, "plain", 2)) == 2


def seeded(shop: Stage, case: str, seed: str) -> list[str]:
    body = [{"name": "shop/plain", "data": {"case": case, "n": n}} for n in range(2)]
    answer = shop.http.post(f"{shop.server_url}/e/key", json=body, headers={"x-inngest-event-id-seed": seed})
    ids: list[str] = answer.raise_for_status().json()["ids"]
    return ids


TEN_BYTES = base64.b64encode(bytes(10)).decode()


@pytest.mark.parametrize(
    "seed",
    ["1743130137367,ten bytes!", "1743130137367,AAAA", f"0,{TEN_BYTES}", f"-1,{TEN_BYTES}", f"now,{TEN_BYTES}", "7"],
)
def test_a_seed_of_another_form_is_ignored(shop: Stage, case: str, seed: str) -> None:
    ids = seeded(shop, case, seed) + seeded(shop, case, seed)
    assert len({*ids}) == 4
    shop.journal.wait(case, "plain", 4)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "1 to 5000 events"),
        (b'[{"name":"shop/unheard"},3]', "event 1 is not an object"),
        (b'{"data":{}}', "event 0 is not an object with a name"),
        (b'{"name":3}', "event 0.name"),
        (b'{"name":"inngest/function.failed"}', "event 0.name"),
        (b'{"name":"shop/unheard","data":[1]}', "event 0.data"),
        (b'{"name":"shop/unheard","data":{"x":NaN}}', "number"),
        (b'{"name":"shop/unheard","ts":"now"}', "event 0.ts"),
        (b'{"name":"shop/unheard","ts":-5}', "event 0.ts"),
        (b'{"name":"shop/unheard","id":7}', "event 0.id"),
        (b'{"name":"shop/unheard","nmae":"x"}', "event 0.nmae"),
        (b'{"name":"shop/unheard","data":{"x":"\\ud800"}}', "not Unicode"),
        (b'{"name":"shop/unheard","data":{"x":"' + b"x" * 262_144 + b'"}}', "more than 262144"),
        (b"[" + b",".join([b'{"name":"shop/unheard"}'] * 5_001) + b"]", "1 to 5000 events"),
        (b" " * (32 * 1024**2 + 1), "larger than"),
    ],
)
def test_a_malformed_event_is_refused_by_field(shop: Stage, body: bytes, reason: str) -> None:
    """What comes before it is kept, and so nobody listens to it: thousands of runs would hold up other tests."""
    answer = shop.http.post(f"{shop.server_url}/e/key", content=body)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


BAD = ['{"name":""}', "3", '{"name":"shop/plain","data":{"x":NaN}}', '{"name"', "", "}"]


@pytest.mark.parametrize("bad", BAD)
def test_what_came_before_a_bad_event_is_kept_and_run(shop: Stage, case: str, bad: str) -> None:
    first, last = (f'{{"name":"shop/plain","data":{{"case":"{case}","n":{n}}}}}' for n in (0, 1))
    answer = shop.http.post(f"{shop.server_url}/e/key", content=f" [ {first} , {bad}, {last}]")
    assert answer.status_code == 400
    (kept,) = answer.json()["ids"]
    assert shop.ended(kept)["output"] == {"seen": 0}
    shop.send("shop/plain", f"{case} after")
    shop.journal.wait(f"{case} after", "plain")
    assert len(shop.journal.of(case)) == 1


@pytest.mark.parametrize("body", ['[{"name":"shop/unheard"}] x', '{"name":"shop/unheard"},'])
def test_what_follows_the_events_is_refused(shop: Stage, body: str) -> None:
    answer = shop.http.post(f"{shop.server_url}/e/key", content=body)
    assert (answer.status_code, len(answer.json()["ids"])) == (400, 1)
    assert "more follows" in answer.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "rebound.example"}, 403),
        ({"host": ""}, 403),
        ({"origin": "https://shop.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"origin": "http://localhost:3000"}, 200),
        ({"host": "localhost:8288"}, 200),
        ({"host": "[::1]:8288"}, 200),
    ],
)
def test_only_what_is_meant_for_this_machine_is_answered(
    shop: Stage, case: str, headers: dict[str, str], status: int
) -> None:
    event = {"name": "shop/plain", "data": {"case": case, "n": 0}}
    answer = shop.http.post(f"{shop.server_url}/e/key", json=event, headers=headers)
    assert answer.status_code == status
    assert shop.http.get(f"{shop.server_url}/", headers=headers).status_code == status
    shop.send("shop/plain", f"{case} after")
    shop.journal.wait(f"{case} after", "plain")
    assert len(shop.journal.of(case)) == (status == 200)


def test_triggers_match_by_expression_and_by_wildcard(shop: Stage, case: str) -> None:
    for kind in ("gold", "tin"):
        shop.send("shop/chosen", case, kind=kind)
    shop.send("shop/wild.one", case)
    shop.journal.wait(case, "any")
    shop.journal.wait(case, "chosen")
    assert values(shop.journal, case, "chosen", "kind") == ["gold"]


def test_idempotency_runs_a_function_once_per_key(shop: Stage, case: str) -> None:
    for order in ("a", "b", "a", "b"):
        shop.send("shop/once", case, order=f"{case} {order}")
    shop.journal.wait(case, "once", 2)
    time.sleep(0.05)
    assert sorted(values(shop.journal, case, "once", "order")) == [f"{case} a", f"{case} b"]


def test_each_step_takes_effect_once_while_the_body_is_replayed(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/steps", case)
    run = shop.ended(event_id)
    nested = {"data": "€ \u0000 \U0001f600", "error": None}
    assert run["output"] == [1, None, nested]
    assert values(shop.journal, case, "effect", "value") == [1, None, nested]
    assert len(shop.journal.of(case, "body")) == 4


def test_steps_are_answered_with_206_and_the_result_with_200(shop: Stage, case: str) -> None:
    before = len(shop.journal.calls)
    shop.ended(shop.send("shop/steps", case)[0])
    calls = [call for call in shop.journal.calls[before:] if call[0] == "shop-steps"]
    assert calls == [("shop-steps", "step", 206)] * 3 + [("shop-steps", "step", 200)]


def test_a_step_sends_events(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/sends", case)
    (sent_id,) = shop.ended(event_id)["output"]
    assert shop.ended(sent_id)["function_id"] == "shop-plain"


def test_a_step_invokes_a_function_and_gets_its_result_or_error(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/invokes", case)
    assert shop.ended(event_id)["output"] == [{"seen": 0}, "no hope"]
    assert len(shop.journal.of(case, "hopeless")) == 2


def test_an_unknown_kind_of_step_fails_the_run_by_name(shop: Stage, case: str) -> None:
    run = shop.ended(shop.send("shop/infers", case)[0])
    assert run["status"] == "Failed"
    assert "step ask: AIGateway is not known to this stand-in" in run["output"]["message"]


MALFORMED = [
    {"op": "StepRun"},
    {"id": "a"},
    {"id": "a", "op": "Sleep", "name": "soon T"},
    {"id": "a", "op": "StepError"},
    7,
]


@pytest.mark.parametrize("op", MALFORMED)
def test_a_malformed_step_ends_its_run(shop: Stage, case: str, op: object) -> None:
    app, (listener, app_url) = fastapi.FastAPI(), stage.free_listener()

    @app.post("/api/inngest")
    def answer() -> fastapi.Response:
        return fastapi.responses.JSONResponse([op], 206, headers={"x-inngest-sdk": "py:v0"})

    step = {"step": {"id": "step", "name": "step", "runtime": {"type": "http", "url": f"{app_url}?fnId=x&stepId=step"}}}
    function = {"id": f"odd-{case}", "name": "odd", "triggers": [{"event": f"odd/{case}"}], "steps": step}
    body = {"appname": "odd", "url": app_url, "functions": [function]}
    config = uvicorn.Config(app, log_level="critical", ws="none")
    with stage.in_thread(uvicorn.Server(config), [listener]):
        assert shop.http.post(f"{shop.server_url}/fn/register", json=body).json() == {"ok": True, "modified": True}
        run = shop.ended(shop.send(f"odd/{case}", case)[0])
    assert (run["status"], run["output"]["name"]) == ("Failed", "BadAnswer")


def test_a_failed_function_is_tried_again_with_growing_pauses(shop: Stage, case: str) -> None:
    shop.send("shop/recovers", case)
    shop.journal.wait(case, "attempt", 3)
    assert values(shop.journal, case, "attempt", "attempt") == [0, 1, 2]
    first, second = gaps(shop.journal, case, "attempt")
    assert first >= 15 * 0.002
    assert second >= 30 * 0.002


def test_a_failed_step_is_tried_again_and_earlier_steps_are_not(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/step-recovers", case)
    assert shop.ended(event_id)["output"] == "steady"
    assert values(shop.journal, case, "unsteady", "attempt") == [0, 1]
    assert len(shop.journal.of(case, "before")) == 1


def test_a_step_that_gave_up_raises_in_the_function(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/step-gives-up", case)
    assert shop.ended(event_id)["output"] == "ValueError: for good"
    assert len(shop.journal.of(case, "broken")) == 2


def test_the_last_failure_is_published_and_reaches_on_failure(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/hopeless", case)
    run = shop.ended(event_id)
    (failure,) = shop.journal.wait(case, "on_failure")
    data = failure.data["data"]
    assert run["status"] == "Failed"
    assert (data["function_id"], data["run_id"]) == ("shop-hopeless", run["run_id"])
    assert data["event"]["id"] == event_id
    assert data["events"] == [data["event"]]
    assert (data["error"]["name"], data["error"]["message"]) == ("RuntimeError", "no hope")
    assert "no hope" in data["error"]["stack"]
    assert values(shop.journal, case, "hopeless", "attempt") == [0, 1]


def test_a_function_on_failures_has_retries_of_its_own(shop: Stage, case: str) -> None:
    shop.send("shop/hopeless", case)
    shop.journal.wait(case, "recorded", 2)
    assert values(shop.journal, case, "recorded", "attempt") == [0, 1]
    assert shop.journal.of(case, "recorded")[0].data["event"].name == "inngest/function.failed"


def test_no_retry_ends_a_run_at_once(shop: Stage, case: str) -> None:
    run = shop.ended(shop.send("shop/refuses", case)[0])
    assert (run["status"], run["output"]["message"]) == ("Failed", "never again")
    shop.journal.wait(case, "recorded", 2)
    assert len(shop.journal.of(case, "refuses")) == 1


def test_retry_after_is_waited_for(shop: Stage, case: str) -> None:
    shop.send("shop/later", case)
    shop.journal.wait(case, "later", 2)
    assert gaps(shop.journal, case, "later")[0] > 1.2


def test_sleep_resumes_when_its_time_has_come(shop: Stage, case: str) -> None:
    shop.send("shop/sleeps", case)
    shop.journal.wait(case, "after")
    before, between, after = (shop.journal.of(case, what) for what in ("before", "between", "after"))
    assert (len(before), len(between), len(after)) == (1, 1, 1)
    assert between[0].at - before[0].at > 0.35


def test_parallel_steps_run_at_the_same_time(shop: Stage, case: str) -> None:
    before = len(shop.journal.calls)
    (event_id,) = shop.send("shop/together", case)
    assert shop.ended(event_id)["output"] == ["a", "b", "c", None, "after"]
    assert sorted(values(shop.journal, case, "met", "name")) == ["a", "b", "c"]
    targets = [step for function, step, _ in shop.journal.calls[before:] if function == "shop-together"]
    assert len(targets) == 6  # plan, three steps, what comes after them, the result
    assert targets.count("step") == 3


def test_racing_branches_do_not_wait_for_each_other(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/races", case)
    assert shop.ended(event_id)["output"] == ["next", "slow"]
    assert [len(shop.journal.of(case, what)) for what in ("quick", "next", "slow")] == [1, 1, 1]


def test_a_step_waits_for_an_event_or_its_time_out(shop: Stage, case: str) -> None:
    (event_id,) = shop.send("shop/waits", case)
    shop.journal.wait(case, "waiting")
    time.sleep(0.1)
    shop.send("shop/paid", f"not {case}")
    shop.send("shop/paid", case, n=42)
    assert shop.ended(event_id)["output"] == [42, None]


def overlap(journal: Journal, case: str, what: str) -> int:
    """The largest number that was at work at once."""
    begun = [(note.at, 1) for note in journal.of(case, f"{what} begins")]
    steps = sorted(begun + [(note.at, -1) for note in journal.of(case, f"{what} ends")])
    return max(sum(change for _, change in steps[: n + 1]) for n in range(len(steps)))


def test_concurrency_one_runs_one_at_a_time(shop: Stage, case: str) -> None:
    shop.send("shop/alone", case, count=5, key="same")
    shop.journal.wait(case, "alone ends", 5)
    assert overlap(shop.journal, case, "alone") == 1


def test_concurrency_keys_limit_each_value_and_the_function(shop: Stage, case: str) -> None:
    for n in range(10):
        shop.send("shop/keyed", case, key=f"key {n % 5}")
    notes = shop.journal.wait(case, "keyed ends", 10)
    assert overlap(shop.journal, case, "keyed") == 3
    for key in {note.data["key"] for note in notes}:
        alone = Journal([note for note in shop.journal.of(case) if note.data["key"] == key])
        assert overlap(alone, case, "keyed") == 1


def test_a_full_batch_is_one_call(shop: Stage, case: str) -> None:
    shop.send("shop/batched", case, count=40)
    batches = shop.journal.wait(case, "batch", 2)
    numbers = [note.data["numbers"] for note in batches]
    assert [len(each) for each in numbers] == [20, 20]
    assert sorted(numbers[0] + numbers[1]) == list(range(40))


def test_events_of_one_batch_come_in_any_order(shop: Stage, case: str) -> None:
    """Sent one by one, so that only the batch can have mixed them."""
    for n in range(20):
        shop.client.send_sync(inngest.Event(name="shop/batched", data={"case": case, "n": n}))
    (batch,) = shop.journal.wait(case, "batch")
    assert sorted(batch.data["numbers"]) == list(range(20)) != batch.data["numbers"]


def test_a_batch_that_does_not_fill_is_called_in_time_and_by_key(shop: Stage, case: str) -> None:
    sent = time.time()
    shop.send("shop/batched", case, count=3)
    shop.send("shop/batched", f"{case} other", count=1)
    (batch,) = shop.journal.wait(case, "batch")
    (other,) = shop.journal.wait(f"{case} other", "batch")
    assert (sorted(batch.data["numbers"]), other.data["numbers"]) == ([0, 1, 2], [0])
    assert batch.at - sent > 0.9


def test_a_call_too_large_for_one_request_is_fetched_by_the_sdk(shop: Stage, case: str) -> None:
    shop.send("shop/batched", case, count=20, padding="x" * 250_000)
    (batch,) = shop.journal.wait(case, "batch")
    assert (len(batch.data["numbers"]), batch.data["size"]) == (20, 20)


def test_a_cron_is_reckoned_in_its_zone() -> None:
    def firing(cron: str, after: str) -> str:
        moment = next_firing(cron, datetime.fromisoformat(after).timestamp())
        return datetime.fromtimestamp(moment, UTC).isoformat()

    assert firing("0 2 * * *", "2026-11-20T02:00:00+00:00") == "2026-11-21T02:00:00+00:00"
    assert firing("TZ=Europe/Paris 0 2 * * *", "2026-11-20T02:00:00+00:00") == "2026-11-21T01:00:00+00:00"
    assert firing("TZ=Europe/Paris 0 2 * * *", "2026-07-01T12:00:00+00:00") == "2026-07-02T00:00:00+00:00"
    assert firing("TZ=America/New_York */15 * * * *", "2026-11-01T05:50:00+00:00") == "2026-11-01T06:00:00+00:00"


def test_the_page_shows_functions_runs_and_events_escaped(shop: Stage, case: str) -> None:
    shop.ended(shop.send("shop/plain", case, note="<script>alert(1)</script>")[0])
    page = shop.http.get(f"{shop.server_url}/").text
    for text in ("shop-plain", "Completed", case):
        assert text in page
    assert "<script>" not in page


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "debounce": ({"debounce": inngest.Debounce(period=5_000)}, "debounce"),
    "throttle": ({"throttle": inngest.Throttle(limit=1, period=5_000)}, "throttle"),
    "rate limit": ({"rate_limit": inngest.RateLimit(limit=1, period=5_000)}, "rateLimit"),
    "priority": ({"priority": inngest.Priority(run="100")}, "priority"),
    "singleton": ({"singleton": inngest.Singleton(mode="skip")}, "singleton"),
    "cancel": ({"cancel": [inngest.Cancel(event="shop/stop")]}, "cancel"),
    "timeouts": ({"timeouts": inngest.Timeouts(finish=5_000)}, "timeouts"),
    "batch condition": ({"batch_events": inngest.Batch(max_size=2, if_exp="event.data.x == 1")}, "batchEvents.if"),
    "batch size": ({"batch_events": inngest.Batch(max_size=101)}, "batchEvents.maxSize"),
    "computed key": ({"concurrency": [inngest.Concurrency(limit=1, key="event.data.a + 1")]}, "concurrency.0.key"),
    "computed idempotency": ({"idempotency": "size(event.data.a)"}, "idempotency"),
    "retries": ({"retries": 21}, "retries.attempts"),
    "expression": ({"trigger": inngest.TriggerEvent(event="a", expression="event.data.a > 1")}, "expression"),
    "reserved event": ({"trigger": inngest.TriggerEvent(event="inngest/function.cancelled")}, "triggers.0.event"),
    "six cron fields": ({"trigger": inngest.TriggerCron(cron="0 0 2 * * *")}, "five fields"),
    "cron zone": ({"trigger": inngest.TriggerCron(cron="TZ=Europe/Atlantis 0 2 * * *")}, "Atlantis"),
    "cron jitter": ({"trigger": inngest.TriggerCron(cron="0 2 * * *", jitter="5m")}, "jitter"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_unknown_feature_is_refused_at_registration_by_name(shop: Stage, name: str) -> None:
    options, reason = REFUSED[name]
    client, journal = stage.make_client(shop.server_url, app_id="other"), Journal()

    @client.create_function(fn_id="strange", **({"trigger": inngest.TriggerEvent(event="a")} | options))
    def strange(ctx: inngest.ContextSync) -> None:
        raise AssertionError("never called")

    listener, app_url = stage.free_listener()
    with stage.serving(client, [strange], journal, listener):
        answer = shop.http.put(app_url).json()
    assert 'function "other-strange"' in answer["error"]
    assert reason in answer["error"]
    assert "other-strange" not in stage.wait_for_functions(shop.http, shop.server_url)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"appname":"x"}', b'{"appname":"x","url":"u","functions":[{}]}', b"3"])
def test_a_malformed_registration_is_refused(shop: Stage, body: bytes) -> None:
    answer = shop.http.post(f"{shop.server_url}/fn/register", content=body)
    assert answer.status_code == 400
    assert "registration refused" in answer.json()["error"]


def versions(client: inngest.Inngest, journal: Journal, number: int) -> list[inngest.Function[Any]]:
    @client.create_function(fn_id=f"version-{number}", trigger=inngest.TriggerEvent(event="shop/version"), retries=1)
    def version(ctx: inngest.ContextSync) -> None:
        journal.note(f"version {number}", str(ctx.event.data["case"]))

    return [version]


def test_a_new_registration_replaces_an_apps_functions(shop: Stage, case: str) -> None:
    client = stage.make_client(shop.server_url, app_id="versioned")
    for number in (1, 2):
        listener, app_url = stage.free_listener()
        with stage.serving(client, versions(client, shop.journal, number), shop.journal, listener):
            assert shop.http.put(app_url).json() == {"ok": True, "modified": True}
            shop.send("shop/version", f"{case} {number}")
            shop.journal.wait(f"{case} {number}", f"version {number}")
    assert [note.what for note in shop.journal.of(f"{case} 2")] == ["version 2"]


def test_an_app_that_is_down_counts_as_failed_attempts(shop: Stage, case: str) -> None:
    client = stage.make_client(shop.server_url, app_id="down")
    listener, app_url = stage.free_listener()
    with stage.serving(client, versions(client, shop.journal, 3), shop.journal, listener):
        shop.http.put(app_url)
    (event_id,) = shop.send("shop/version", case)
    shop.journal.wait(case, "recorded", 2)
    run = next(run for run in shop.runs(event_id) if run["function_id"] == "down-version-3")
    reason = {"error": "Unable to reach SDK URL", "name": "Error", "message": "Unable to reach SDK URL"}
    assert (run["status"], run["output"]["name"]) == ("Failed", "Error")
    assert json.loads(run["output"]["message"]) == {"error": reason}


def test_without_fast_it_takes_its_time_as_the_real_server_does(tmp_path: Path, case: str) -> None:
    with stage.stage(tmp_path, functions.make, timing=MEASURED) as slow:
        sent = time.time()
        slow.send("shop/plain", case, count=40)
        slow.send("shop/batched", case, count=3)
        pauses = [note.at - sent for note in slow.journal.wait(case, "plain", 40)]
        (batch,) = slow.journal.wait(case, "batch")
    assert min(pauses) >= 0.15
    assert statistics.median(pauses) >= 0.2
    assert batch.at - sent >= 1.6


def test_only_the_word_fast_leaves_the_pauses_out() -> None:
    assert timing_of({"STANDIN": "fast"}) == FAST
    assert timing_of({}) == timing_of({"STANDIN": "slow"}) == MEASURED
    sleeps = [MEASURED.sleep_ahead() for _ in range(100)]
    assert min(sleeps) >= 0 < max(sleeps) <= 0.09
