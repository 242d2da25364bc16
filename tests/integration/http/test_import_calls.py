"""What can be asked of an import over HTTP: a look before it, a limit on its rejects, the way back."""

import asyncio
import time
from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from penstock import json_codec
from penstock.http.resources import imports
from penstock.ingest import files
from penstock.relay.event_names import IMPORT_LOADED
from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_names, assert_problem
from tests.waiting import PATIENCE_SECONDS

ORDERS = "ticket_id,part,quantity,opened_at,price\n" + "".join(
    f"{number},MUG,{'x' if number > 30 else 2},2026-01-01,1.25\n" for number in range(60)
)
COUNT = "select (select count(*) from raw.imports), (select count(*) from pg_tables where schemaname = 'staging')"


def loaded(api: Api, target: str, content: str, **asked: str) -> dict:
    accepted = api.http.post(f"/v1/imports/{target}", params=asked, content=content)
    assert accepted.status_code == 202, accepted.text
    files.advance_import(api.settings, UUID(accepted.json()["import_id"]))
    return api.http.get(accepted.json()["status_url"]).json()


def test_a_dry_run_shows_the_first_rows_as_they_would_be(api: Api, connection: psycopg.Connection) -> None:
    before = connection.execute(COUNT).fetchone()
    mapping = '{"price": null}'
    answer = api.http.post("/v1/imports/tickets", params={"dry_run": "true"}, content=ORDERS)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["read"], found["loaded"], found["rejected"], found["duplicate"]) == (60, 31, 29, 0)
    assert len(found["rows"]) == len(found["rejects"]) == 20
    assert [(row["ticket_id"], row["quantity"]) for row in found["rows"]] == [(str(number), 2) for number in range(20)]
    assert found["rejects"][0] == {
        "line": 33,
        "outcome": "rejected",
        "field": "quantity",
        "reason": found["rejects"][0]["reason"],
        "content": "31,MUG,x,2026-01-01,1.25",
    }
    assert found["plan"]["mapping"]["quantity"] == "quantity"
    assert found["plan"]["types"]["price"] == "number"
    incomplete = api.http.post("/v1/imports/tickets", params={"dry_run": "true", "mapping": mapping}, content=ORDERS)
    assert_names(assert_problem(incomplete, 422), "mapping")
    assert connection.execute(COUNT).fetchone() == before
    assert api.sent.events == []


def test_a_dry_run_of_a_table_shows_typed_rows(api: Api, shelves: psycopg.Connection) -> None:
    content = "id,height\n" + "".join(f"s{number},{number + 1}\n" for number in range(25)) + "s99,0\n"
    found = api.http.post("/v1/imports/shelves", params={"dry_run": "true"}, content=content).json()
    assert found["rows"] == [{"id": f"s{number}", "height": number + 1} for number in range(20)]
    assert (found["loaded"], found["rejected"], found["updated"]) == (25, 1, 0)
    assert shelves.execute("select count(*) from public.shelves").fetchone() == (0,)


def test_a_form_may_carry_the_options(api: Api, shelves: psycopg.Connection) -> None:
    form = {"files": {"file": ("s.csv", b"no;tall\n1;20\n")}, "data": {"mapping": '{"no": "id", "tall": "height"}'}}
    found = api.http.post("/v1/imports/shelves?dry_run=true&delimiter=;", **form).json()
    assert found["rows"] == [{"id": "1", "height": 20}], found
    odd = {"files": {"file": ("s.csv", b"a\n")}, "data": {"colour": "red"}}
    assert_names(assert_problem(api.http.post("/v1/imports/shelves", **odd), 422), "colour")


MAPPED = {
    "fields": '{"id": {"columns": ["room", "no"]}, "height": {"column": "tall", "values": {"low": "20"}}}',
    "rows": '[{"column": "no", "empty": false}]',
    "header": '["room", "no", "tall"]',
    "quote": "'",
    "skip_rows": "1",
    "zone": "Europe/Paris",
}


def test_the_address_and_a_form_say_the_same(api: Api, shelves: psycopg.Connection) -> None:
    content = "a list of shelves\n'a',1,low\na,,low\n"
    by_address = api.http.post(
        "/v1/imports/shelves?dry_run=true", params={**MAPPED, "dry_run": "true"}, content=content
    )
    form = {"files": {"file": ("s.csv", content.encode())}, "data": MAPPED}
    assert api.http.post("/v1/imports/shelves?dry_run=true", **form).json() == by_address.json()
    assert by_address.json()["rows"] == [{"id": "a-1", "height": 20}], by_address.text
    assert [reject["reason"] for reject in by_address.json()["rejects"]] == ["rows: no is empty"]


@pytest.mark.parametrize("said", ["false", "0", '["id", "height"]'])
def test_a_file_without_a_header_is_said_in_many_ways(api: Api, shelves: psycopg.Connection, said: str) -> None:
    mapping = {} if said.startswith("[") else {"mapping": '{"1": "id", "2": "height"}'}
    asked = {"dry_run": "true", "header": said, **mapping}
    found = api.http.post("/v1/imports/shelves", params=asked, content="a,7\nb,8\n").json()
    assert found["rows"] == [{"id": "a", "height": 7}, {"id": "b", "height": 8}], found


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("fields", '{"id": {"colour": "red"}}', "fields.id"),
        ("fields", "{", "fields"),
        ("rows", '[{"column": "no"}]', "rows.0"),
        ("header", "[1]", "header"),
        ("zone", "Mars", "zone"),
        ("dates", '{"at": "%d %Z %Y %m"}', "dates.at"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(api: Api, option: str, value: str, named: str) -> None:
    answer = api.http.post("/v1/imports/orders", params={option: value}, content=ORDERS)
    assert_names(assert_problem(answer, 422), named)


def off_the_loop(work: Callable[..., Any], seen: list[str]) -> Callable[..., Any]:
    @wraps(work)
    def watched(*given: Any, **named: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            seen.append(work.__name__)
            return work(*given, **named)
        raise AssertionError(f"{work.__name__} runs on the event loop")

    return watched


@pytest.mark.parametrize("dry_run", ["true", "false"])
@pytest.mark.parametrize("form", [True, False])
def test_nothing_of_a_file_is_parsed_on_the_event_loop(
    api: Api, monkeypatch: pytest.MonkeyPatch, dry_run: str, form: bool
) -> None:
    seen: list[str] = []
    watched = [(json_codec, "loads"), (files, "dry_run"), (files, "create_import")]
    # the answer to a dry run has rows of the file, that to an import three fields
    for owner, name in [*watched, (json_codec, "dumps")] if dry_run == "true" else watched:
        monkeypatch.setattr(owner, name, off_the_loop(getattr(owner, name), seen))
    mapping = {"mapping": '{"ticket_id": "ticket_id"}'}
    sent = {"files": {"file": ("o.csv", ORDERS.encode())}, "data": mapping} if form else {"content": ORDERS}
    asked = {"dry_run": dry_run} if form else {"dry_run": dry_run, **mapping}
    answer = api.http.post("/v1/imports/tickets", params=asked, **sent)
    assert answer.status_code == (200 if dry_run == "true" else 202), answer.text
    assert {"loads", "dry_run" if dry_run == "true" else "create_import"} <= set(seen)


def test_an_option_of_a_form_is_no_longer_than_one_of_the_address(api: Api) -> None:
    form = {"files": {"file": ("o.csv", b"a\n")}, "data": {"mapping": '{"a": "' + "x" * 20_000 + '"}'}}
    assert_names(assert_problem(api.http.post("/v1/imports/tickets", **form), 422), "mapping")


def test_a_date_format_without_a_year_is_refused(api: Api) -> None:
    for asked in ({"dry_run": "true"}, {}):
        wrong = api.http.post(
            "/v1/imports/tickets", params={"dates": '{"opened_at": "%d/%m"}', **asked}, content=ORDERS
        )
        assert_names(assert_problem(wrong, 422), "dates.opened_at")


def test_an_import_ends_at_its_limit_of_rejects(api: Api) -> None:
    aborted = loaded(api, "tickets", ORDERS, reject_limit="28")
    assert (aborted["state"], aborted["error"]) == ("aborted", "more than 28 rejected lines")
    assert loaded(api, "tickets", ORDERS, reject_limit="29")["state"] == "completed_with_rejects"
    assert loaded(api, "tickets", ORDERS.replace("1.25", "1.50"), reject_share="1")["state"] == "completed"


def test_an_import_into_a_table_is_taken_back(api: Api, shelves: psycopg.Connection) -> None:
    loaded(api, "shelves", "id,height\na,1\nb,2\n")
    second = loaded(api, "shelves", "id,height\nb,20\nc,30\n")
    assert (second["loaded"], second["updated"]) == (2, 1)
    undo = f"/v1/imports/{second['import_id']}/undo"
    undone = api.http.post(undo)
    assert undone.status_code == 200, undone.text
    assert (undone.json()["state"], undone.json()["result"]["undo"]) == (
        "undone",
        {"removed": 1, "restored": 1, "kept": 0},
    )
    assert shelves.execute("select id, height from public.shelves order by id").fetchall() == [("a", 1), ("b", 2)]
    assert "undone already" in assert_problem(api.http.post(undo), 409)["detail"]


def assert_figures_are_asked_for(api: Api, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := [event for event in api.sent.events if event[0] == IMPORT_LOADED]):  # it goes after the answer
        assert time.monotonic() < deadline, f"nobody computes the days that the {what} changed"
        time.sleep(0.01)
    assert found


def test_an_import_of_events_is_taken_back_in_as_many_calls_as_it_takes(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = f"/v1/imports/{loaded(api, 'tickets', ORDERS)['import_id']}/undo"
    with monkeypatch.context() as patch:
        patch.setattr(imports, "_UNDO_SECONDS", 0)
        assert api.http.post(undo).json()["state"] == "undoing"
    undone = api.http.post(undo).json()
    assert (undone["state"], undone["result"]["undo"]) == (
        "undone",
        {"removed": 31, "restored": 0, "kept": 0, "events": 31},
    )
    assert_figures_are_asked_for(api, "undo")
    assert "undone already" in assert_problem(api.http.post(undo), 409)["detail"]


def test_what_cannot_be_taken_back(api: Api) -> None:
    event = {"aggregate_type": "note", "aggregate_id": "1", "event_type": "NoteTaken", "payload": {}}
    event["metadata"] = {"occurred_at": "2026-01-01T00:00:00Z"}
    events = loaded(api, "events", json_codec.dumps(event))
    refused = assert_problem(api.http.post(f"/v1/imports/{events['import_id']}/undo"), 409)
    assert "nothing takes NoteTaken of note back" in refused["detail"]
    assert_problem(api.http.post(f"/v1/imports/{uuid4()}/undo"), 404)
    assert_names(assert_problem(api.http.post("/v1/imports/7/undo"), 422), "import_id")


def test_held_orders_are_released_over_http(api: Api) -> None:
    head, good, bad = ORDERS.splitlines()[0], "MUG,2,2026-01-01,1.25", "MUG,x,2026-01-01,1.25"
    done = loaded(api, "tickets", "\n".join([head, *(f"{key},{line}" for key in "ab" for line in (good, bad))]))
    assert (done["state"], done["held"], done["rejected"]) == ("completed_with_rejects", 2, 2)
    place = f"/v1/imports/{done['import_id']}/release"
    assert "holds no ticket 'c'" in assert_problem(api.http.post(place, params={"key": "c"}), 404)["detail"]
    first = api.http.post(place, params={"key": ["a"]}).json()
    assert (first["loaded"], first["held"], first["result"]["released"]) == (1, 1, 1)
    assert_figures_are_asked_for(api, "release")
    assert api.http.post(place).json()["held"] == 0
    waiting = api.http.post("/v1/imports/tickets", content=ORDERS).json()
    assert_problem(api.http.post(f"/v1/imports/{waiting['import_id']}/release"), 409)


def test_a_file_that_failed_is_one_sentence_in_its_import_and_one_alert_until_it_is_loaded(api: Api) -> None:
    header = "ticket_id,part,quantity,opened_at,price\n"

    def alerts() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.http.get("/v1/alerts").json()["alerts"]
        return found

    def send(content: str, name: str | None = None) -> dict[str, Any]:
        sent: dict[str, Any] = {"files": {"file": (name, content)}} if name else {"content": content}
        import_id = UUID(api.http.post("/v1/imports/tickets", **sent).json()["import_id"])
        files.advance_import(api.settings, import_id)
        shown: dict[str, Any] = api.http.get(f"/v1/imports/{import_id}").json()
        return shown

    failed = send("Number,Amount\n1,2\n", "june.csv")
    reason = failed["error"]
    assert (failed["state"], reason.count("\n")) == ("failed", 0)
    assert "ticket_id" in reason
    [alert] = alerts()
    assert (alert["kind"], alert["name"]) == ("failed-import", "june.csv")
    assert alert["message"] == f"import {failed['import_id']} into tickets failed after 0 lines: {reason}"
    send(f"{header}J-7,MUG,1,2026-07-01,1.25\n", "july.csv")
    assert alerts() == [alert]
    nameless = send("Number,Total\n1,2\n")
    send(f"{header}J-8,MUG,1,2026-07-01,1.25\n")
    assert [each["message"].split()[1] for each in alerts()] == [nameless["import_id"], failed["import_id"]]
    send(f"{header}J-6,MUG,1,2026-06-01,1.25\n", "june.csv")
    assert [each["name"] for each in alerts()] == ["upload"]


def test_a_date_that_could_be_two_days_is_asked_for_as_each_face_says_it(api: Api) -> None:
    ambiguous = "ticket,product,qty,date,each\nT-1,mug,2,02/03/2026,7.50\n"
    refused = assert_problem(api.http.post("/v1/imports/tickets", params={"dry_run": "true"}, content=ambiguous), 422)
    assert "say --date FIELD=%d/%m/%Y or --date FIELD=%m/%d/%Y" in refused["detail"]
    assert '(over HTTP: dates={"FIELD": "%d/%m/%Y"})' in refused["detail"]
    said = json_codec.dumps({"opened_at": "%d/%m/%Y"})
    place = "/v1/imports/tickets"
    look = api.http.post(place, params={"dry_run": "true", "dates": said}, content=ambiguous).json()
    assert (look["loaded"], look["rows"][0]["opened_at"][:10]) == (1, "2026-03-02")
