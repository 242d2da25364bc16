"""What the local Inngest stand-in takes, keeps once and refuses: events as the SDK and others send them."""

import base64
import uuid

import inngest
import pytest

from penstock.local.inngest_store import ulid
from tests.integration.local.inngest_conformance.stage import Stage


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
