"""The local Inngest stand-in, held to the protocol: every feature driven through the real SDK over real HTTP."""

import itertools
import statistics
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import fastapi
import inngest
import pytest
import uvicorn

from penstock.local.inngest_messages import next_firing
from penstock.local.inngest_timing import FAST, MEASURED, timing_of
from tests.integration.local.inngest_conformance import functions, stage
from tests.integration.local.inngest_conformance.stage import Journal, Stage


def values(journal: Journal, case: str, what: str, field: str) -> list[Any]:
    return [note.data[field] for note in journal.of(case, what)]


def gaps(journal: Journal, case: str, what: str) -> list[float]:
    times = [note.at for note in journal.of(case, what)]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


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
