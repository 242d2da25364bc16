"""Apps register with the local Inngest stand-in; what it does not know is refused by name."""

import json
from typing import Any

import inngest
import pytest

from tests.integration.local.inngest_conformance import stage
from tests.integration.local.inngest_conformance.stage import Journal, Stage


def test_an_app_registers_when_it_is_asked_by_put(shop: Stage) -> None:
    described = shop.http.get(f"{shop.server_url}/dev").json()
    assert {"shop-plain", "shop-hopeless", "shop-hopeless-failure"} <= {f["id"] for f in described["functions"]}
    assert described["handlers"] == [shop.app_url]
    assert shop.http.get(f"{shop.server_url}/health").json()["status"] == 200


def test_registration_says_whether_something_changed(shop: Stage) -> None:
    assert shop.http.put(shop.app_url).json() == {"ok": True, "modified": False}


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
