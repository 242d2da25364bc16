"""Webhooks and files over HTTP."""

import gzip
import json
import time
from datetime import UTC, datetime
from uuid import UUID

from penstock.ingest import files, webhooks
from tests.integration.http.conftest import WEBHOOK_SECRET, Api
from tests.integration.http.test_bad_input import assert_problem
from tests.unit.ingest.webhooks.test_standard_webhooks import signed
from tests.waiting import PATIENCE_SECONDS

CSV = (
    b"ticket_id,part,title,quantity,opened_at,price\n"
    b"1,MUG,Mug,2,2010-12-01 08:26:00,2.55\n"
    b"9,TEA,Tea,x,2010-12-01 08:26:00,1.00\n"
)


def deliver(api: Api, body: dict, source: str = "shop", id: str = "msg_1", **headers: str):
    raw = json.dumps(body).encode()
    all_headers = signed(WEBHOOK_SECRET, datetime.now(UTC), id, raw) | headers
    return api.http.post(f"/v1/webhooks/{source}", content=raw, headers=all_headers)


def test_a_delivery_is_taken_once_and_reaches_the_store(api: Api) -> None:
    ticket = {
        "ticket_id": "T-1",
        "opened_at": "2026-11-20T10:00:00Z",
        "lines": [{"part": "MUG", "quantity": 2, "price": "7.50"}],
    }
    body = {"type": "TicketOpened", "timestamp": "2026-11-20T10:00:00Z", "data": ticket}
    assert (deliver(api, body).status_code, deliver(api, body).json()) == (
        200,
        {"delivery_id": "msg_1", "duplicate": True},
    )
    assert {name for name, _, _ in api.sent.events} == {"webhook/delivery.received"}
    assert webhooks.append_deliveries(api.settings) == 1
    api.project()
    answer = api.http.get("/v1/tickets/T-1")
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == "15.00"


def test_a_bad_signature_and_an_unknown_source(api: Api) -> None:
    assert_problem(deliver(api, {}, **{"webhook-signature": "v1,AAAA"}), 401)
    assert_problem(deliver(api, {}, source="nobody"), 404)
    assert_problem(api.http.post("/v1/webhooks/shop", content=b"{}"), 401)
    assert api.sent.events == []


def send_after(api: Api, import_id: str) -> list[tuple[str, str | None]]:
    """What was sent; it goes out after the answer, so a moment may pass."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        sent = [(name, data.get("import_id")) for name, _, data in api.sent.events]
        if any(each == import_id for _, each in sent):
            return sent
        time.sleep(0.01)
    raise AssertionError("nothing was sent")


def run_import(api: Api, accepted) -> dict:
    assert accepted.status_code == 202, accepted.text
    body = accepted.json()
    assert ("import/file.requested", body["import_id"]) in send_after(api, body["import_id"])
    files.advance_import(api.settings, UUID(body["import_id"]))
    return api.http.get(body["status_url"]).json()


def test_a_file_is_taken_as_body_form_or_gzip_and_accounted_for(api: Api) -> None:
    ways = (
        lambda: api.http.post("/v1/imports/tickets", content=CSV, headers={"content-type": "text/csv"}),
        lambda: api.http.post("/v1/imports/tickets", files={"file": ("day.csv", CSV.replace(b"\n1,", b"\n2,"))}),
        lambda: api.http.post("/v1/imports/tickets", content=gzip.compress(CSV.replace(b"\n1,", b"\n3,"))),
    )
    for send in ways:
        state = run_import(api, send())
        assert (state["state"], state["read"], state["loaded"], state["rejected"]) == (
            "completed_with_rejects",
            2,
            1,
            1,
        ), state
        rejects = api.http.get(f"/v1/imports/{state['import_id']}/rejects")
        assert rejects.headers["content-type"].startswith("text/csv")
        [header, reject] = rejects.text.strip().splitlines()
        assert header.startswith('"line",')
        assert reject.startswith('"3",')
    assert len(api.http.get("/v1/imports").json()["imports"]) == 3


def test_the_same_file_again_is_the_same_import(api: Api) -> None:
    first = api.http.post("/v1/imports/tickets", content=CSV)
    run_import(api, first)
    sent = len(api.sent.events)
    again = api.http.post("/v1/imports/tickets", content=CSV)
    assert again.json() == first.json() | {"duplicate": True}
    assert len(api.sent.events) == sent, "a finished import is not started again"


def test_inngest_may_be_away_when_something_comes_in(api: Api) -> None:
    api.sent.away = True
    assert deliver(api, {"type": "x", "data": {}}).status_code == 200
    accepted = api.http.post("/v1/imports/tickets", content=CSV)
    assert accepted.status_code == 202
    assert api.http.get(accepted.json()["status_url"]).json()["state"] == "waiting"


def test_a_dry_run_looks_and_writes_nothing(api: Api) -> None:
    answer = api.http.post("/v1/imports/tickets", params={"dry_run": "true"}, content=CSV)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["dry_run"], found["read"], found["loaded"], found["rejected"]) == (True, 2, 1, 1)
    assert api.http.get("/v1/imports").json() == {"imports": []}
    assert api.http.get("/v1/events").json()["events"] == []
    assert api.sent.events == []


def test_further_files_come_as_parts_of_the_form(api: Api) -> None:
    lines = b"ticket_id,part,quantity,price\nT1,P1,1,2.50\nT2,P1,1,2.50\n"
    tickets = b"no,opened_at\nT1,2026-01-05\nT2,2026-01-06\n"
    said = {
        "join": json.dumps([{"file": "tickets.csv", "on": {"ticket_id": "no"}}]),
        "fields": json.dumps({"opened_at": "tickets.opened_at"}),
    }
    parts = [("file", ("lines.csv", lines)), ("joined", ("tickets.csv", tickets))]
    found = api.http.post("/v1/imports/tickets?dry_run=true", files=parts, data=said)
    assert (found.status_code, found.json()["loaded"]) == (200, 2), found.text
    state = run_import(api, api.http.post("/v1/imports/tickets", files=parts, data=said))
    assert (state["state"], state["loaded"]) == ("completed", 2)
    assert state["result"]["joined"] == [
        {"file": "tickets.csv", "read": 2, "used": 2, "unused": 0, "repeated": 0, "rejected": 0}
    ]
    refused = api.http.post("/v1/imports/tickets", files=parts[:1], data=said)
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"field": "join.0.file", "reason": "tickets.csv was not sent"}],
    )
    asked = api.http.post("/v1/imports/preview", files=parts, data=said)
    assert (asked.status_code, asked.json()["errors"][0]["field"]) == (422, "join")
