"""`POST /v1/imports/preview`: what a file is before anybody has explained it, and what to ask."""

import gzip
from typing import Any

import psycopg
import pytest

from penstock import json_codec
from penstock.ingest import files
from penstock.ingest.files import sample
from shop import DOMAIN
from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_names, assert_problem
from tests.integration.http.test_import_calls import off_the_loop
from tests.shop.imports.exports import HEADERS, SHOPIFY_ORDERS, SQUARE_ITEMS, written
from tests.tables import parquet_file, xlsx_file

ORDERS = "order_id,product_id,quantity,unit_price,ordered_at\n" + "".join(
    f"A-{n},MUG,{'x' if n == 7 else 2},1.25,2026-01-{n % 28 + 1:02}\n" for n in range(50)
)
COUNT = """select (select count(*) from raw.imports), (select count(*) from raw.import_mappings),
  (select count(*) from pg_tables where schemaname = 'staging'), (select count(*) from public.event_store)"""


def look(api: Api, content: str | bytes, **asked: str) -> dict[str, Any]:
    answer = api.http.post("/v1/imports/preview", params=asked, content=content)
    assert answer.status_code == 200, answer.text
    return answer.json()


def questions(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {question["code"]: question for question in found["questions"]}


def merged(*sets: dict[str, Any]) -> dict[str, str]:
    """Answers as parameters of the address."""
    options: dict[str, Any] = {}
    for each in sets:
        for name, value in each.items():
            options[name] = {**options.get(name, {}), **value} if isinstance(value, dict) else value
    return {name: value if isinstance(value, str) else json_codec.dumps(value) for name, value in options.items()}


def test_words_of_a_status_are_asked_for_one_after_the_other(api: Api) -> None:
    header = "order_id,product_id,quantity,unit_price,ordered_at,status\n"
    words = ("paid", "Versandt", "Storniert", "Versandt")
    content = header + "".join(f"{number},MUG,1,2,2026-01-05,{word}\n" for number, word in enumerate(words))
    options: dict[str, str] = {}
    for word, means in (("Versandt", "shipped"), ("Storniert", "cancelled")):
        found = look(api, content, **options)
        asked = [each for each in found["questions"] if each["code"] == "word" and repr(word) in each["text"]]
        assert [(each["column"], each["field"]) for each in asked] == [("status", "status")]
        options = merged(next(each["set"] for each in asked[0]["choices"] if each["label"] == means))
    done = look(api, content, **options)
    assert (done["rejected"], done["accepted"], done["questions"]) == (0, 4, [])


def test_a_file_that_explains_itself(api: Api, connection: psycopg.Connection) -> None:
    before = connection.execute(COUNT).fetchone()
    found = look(api, ORDERS)
    assert (found["target"], found["targets"][0]["target"], found["targets"][0]["missing"]) == ("orders", "orders", [])
    assert found["columns"][0] == {
        "name": "order_id", "field": "order_id", "type": "text", "examples": ["A-0", "A-1", "A-2"], "blank": 0,
    }  # fmt: skip
    assert [column["type"] for column in found["columns"]] == ["text", "text", "text", "number", "time"]
    assert (found["complete"], found["read"], found["accepted"], found["rejected"]) == (True, 50, 49, 1)
    assert (found["rejects"][0]["line"], found["rejects"][0]["field"]) == (9, "quantity")
    assert len(found["rows"]) == 20
    assert found["rows"][7] == {
        "order_id": "A-7", "product_id": "MUG", "quantity": "x", "unit_price": "1.25", "ordered_at": "2026-01-08",
    }  # fmt: skip
    assert (found["plan"]["mapping"]["ordered_at"], found["plan"]["remembered"]) == ("ordered_at", None)
    assert found["questions"] == []
    assert connection.execute(COUNT).fetchone() == before
    assert api.sent.events == []


def test_each_answer_is_a_part_of_the_options(api: Api) -> None:
    """A file of which nothing is clear: the answers, one after the other, lead to a plan that an import takes."""
    text = "Beleg;Artikel;Menge;Preis;Bestelldatum\n" + "".join(
        f"{n};MUG;1;1.250,{n % 90 + 10};{n % 9 + 1}.{n % 8 + 1}.2026 9:05\n" for n in range(30)
    )
    answers: dict[str, Any] = {"mapping": {"Beleg": "order_id", "Artikel": "product_id", "Menge": "quantity"}}
    found = look(api, text, target="orders", **merged(answers))
    assert found["plan"] is None
    asked = [question for question in found["questions"] if question["code"] == "missing-field"]
    assert {question["field"] for question in asked} >= {"ordered_at"}
    for question in asked:
        wanted = {"ordered_at": "Bestelldatum"}.get(question["field"], "Preis")
        (choice,) = [each for each in question["choices"] if each["label"] == wanted]
        answers["mapping"] |= choice["set"]["mapping"]
    answers["mapping"]["Preis"] = "unit_price"
    found = look(api, text, target="orders", **merged(answers))
    asked_now = questions(found)
    assert set(asked_now) == {"date", "decimal"}
    assert asked_now["date"]["text"] == "How is 1.1.2026 9:05 to be read?"
    assert (asked_now["date"]["column"], asked_now["date"]["field"]) == ("Bestelldatum", "ordered_at")
    assert asked_now["date"]["choices"][0] == {
        "label": "day before month", "set": {"dates": {"ordered_at": "%d.%m.%Y %H:%M"}},
    }  # fmt: skip
    sets = [asked_now[code]["choices"][0]["set"] for code in ("date", "decimal")]
    found = look(api, text, target="orders", **merged(answers, *sets))
    assert (found["questions"], found["accepted"], found["rejected"]) == ([], 30, 0)
    dry = api.http.post("/v1/imports/orders", params={"dry_run": "true", **merged(answers, *sets)}, content=text)
    assert (dry.status_code, dry.json()["loaded"]) == (200, 30)


def test_a_sheet_is_asked_for(api: Api) -> None:
    rows = [line.split(",") for line in ORDERS.splitlines()]
    book = xlsx_file(rows, Notes=[["note"], ["x"]])
    found = look(api, book)
    sheet = questions(found)["sheet"]
    assert [choice["set"] for choice in sheet["choices"]] == [{"sheet": "Sheet"}, {"sheet": "Notes"}]
    assert (found["target"], found["plan"]["sheet"], found["accepted"]) == ("orders", "Sheet", 49)
    assert "sheet" not in questions(look(api, book, sheet="Sheet"))
    assert look(api, parquet_file(rows))["accepted"] == 49


def test_an_encoding_is_asked_for_with_what_it_would_show(api: Api) -> None:
    for text in ("id,name\n1,Größe\n2,x\n" + "3,y\n" * 50, "id,größe\n1,x\n" + "3,y\n" * 50):
        found = look(api, text.encode("cp1252"), target="customers")
        (western, *_) = questions(found)["encoding"]["choices"]
        assert western["set"] == {"encoding": "windows-1252"}
        assert "größe" in western["label"].lower()
        assert "encoding" not in questions(
            look(api, text.encode("cp1252"), target="customers", encoding="windows-1252")
        )


def test_a_column_that_matters_and_a_target_that_is_not_clear(api: Api) -> None:
    header, *lines = ORDERS.splitlines()
    text = "\n".join([f"{header},Zahlungsstatus,colour", *(f"{line},paid,red" for line in lines)])
    found = look(api, text)
    (unmapped,) = [question for question in found["questions"] if question["code"] == "unmapped"]
    assert (unmapped["column"], unmapped["choices"][-1]) == (
        "Zahlungsstatus", {"label": "not needed", "set": {"mapping": {"Zahlungsstatus": None}}},
    )  # fmt: skip
    silent = look(api, text, mapping='{"Zahlungsstatus": null}')
    assert "unmapped" not in questions(silent)
    unknown = look(api, "colour,shape\nred,round\n")
    assert unknown["plan"] is None
    names = [choice["set"]["target"] for choice in questions(unknown)["target"]["choices"]]
    assert set(names) == set(files.target_names())


def test_json_is_described_by_its_keys(api: Api) -> None:
    lines = "".join(f'{{"customer_id":"C{n}","registered_at":"2026-01-01","extra":{{"a":1}}}}\n' for n in range(5))
    array = "[" + ",".join(lines.splitlines()) + "]"
    for content in (lines, array):
        found = look(api, content)
        assert (found["target"], [column["name"] for column in found["columns"]]) == (
            "customers", ["customer_id", "registered_at", "extra"],
        )  # fmt: skip
        assert found["rows"][0] == {"customer_id": "C0", "registered_at": "2026-01-01", "extra": '{"a":1}'}
        assert (found["accepted"], found["columns"][0]["field"]) == (5, "customer_id")
    missing = questions(look(api, lines.replace("registered_at", "since"), target="customers"))["missing-field"]
    assert missing["choices"][0] == {"label": "since", "set": {"mapping": {"since": "registered_at"}}}


def test_a_remembered_mapping_is_the_first_guess(api: Api, shelves: psycopg.Connection) -> None:
    created, _ = files.create_import(
        api.settings, "shelves", b"no;tall\na;20\n", options={"mapping": {"no": "id", "tall": "height"}}
    )
    assert files.advance_import(api.settings, created.id).state == "completed"
    (mapping,) = files.list_mappings(api.settings)
    found = look(api, "no;tall\nb;30\n")
    assert (found["target"], found["plan"]["remembered"], found["accepted"]) == ("shelves", str(mapping.id), 1)
    assert found["options"] == {"mapping": {"no": "id", "tall": "height"}}
    assert questions(look(api, "no;tall\nb;30\n", target="shelves", remember="false"))["missing-field"]


def test_only_the_beginning_of_a_long_file_is_looked_at(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"A-{n},MUG,2,1.25,2026-01-01\n" for n in range(60_000))
    found = look(api, gzip.compress((ORDERS.partition("\n")[0] + "\n" + rows).encode()))
    assert found["complete"] is False
    assert 10_000 <= found["read"] < 60_000
    monkeypatch.setattr(sample, "BYTES", 1000)
    for content in (
        ORDERS,
        "[" + ",".join('{"customer_id":"C","registered_at":"2026-01-01"}' for _ in range(90)) + "]",
    ):
        found = look(api, content)
        assert (found["complete"], found["rejected"] <= 1) == (False, True)
        assert 10 < found["read"] < 60


def test_what_cannot_be_looked_at(api: Api) -> None:
    for content, asked, field in (
        (b"", {}, "file"),
        (b"%PDF-1.4", {}, "file"),
        (ORDERS, {"colour": "red"}, "colour"),
        (ORDERS, {"mapping": '{"x": "order_id"}', "target": "orders"}, "mapping"),
        (xlsx_file([["a"]]), {"sheet": "7"}, "sheet"),
    ):
        answer = api.http.post("/v1/imports/preview", params=asked, content=content)
        assert_names(assert_problem(answer, 422), field)
    assert_problem(api.http.post("/v1/imports/preview?target=colours", content=ORDERS), 404)


def test_nothing_is_parsed_on_the_event_loop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for owner, name in ((files, "describe_file"), (json_codec, "dumps")):
        monkeypatch.setattr(owner, name, off_the_loop(getattr(owner, name), seen))
    look(api, ORDERS)
    assert {"describe_file", "dumps"} <= set(seen)


@pytest.mark.parametrize("name", HEADERS)
def test_the_export_of_a_shop_system_says_what_it_is(api: Api, name: str) -> None:
    found = look(api, HEADERS[name] + "\n")
    (target,) = [each.name for each in DOMAIN.targets if name in [profile.name for profile in each.profiles]]
    assert found["target"] == target
    assert "target" not in questions(found)


def test_a_preview_by_a_profile_shows_what_each_column_is(api: Api) -> None:
    rows: list[dict[str, object]] = [
        {"Name": "#1", "Email": "ann@example.com", "Financial Status": "paid", "Currency": "EUR", "Total": "9.00",
         "Created at": "2026-03-02 14:05:06 +0100", "Lineitem quantity": 1, "Lineitem name": "Mug",
         "Lineitem price": "7.00", "Lineitem sku": "MUG", "Taxes": "2.00", "Tax 1 Value": "2.00"},
        {"Name": "#2", "Financial Status": "voided", "Lineitem quantity": 1, "Lineitem name": "Mug"},
    ]  # fmt: skip
    found = look(api, written(SHOPIFY_ORDERS, rows))
    assert (found["read"], found["accepted"], found["skipped"], found["rejected"]) == (2, 1, 1, 0)
    by_name = {column["name"]: column["field"] for column in found["columns"]}
    assert (by_name["Lineitem sku"], by_name["Created at"], by_name["Taxes"]) == (
        "product_id",
        "ordered_at",
        "order_tax",
    )
    asked = [question["column"] for question in found["questions"]]
    assert "Refunded Amount" not in asked
    assert not {"Created at", "Financial Status", "Cancelled at", "Currency"} & set(asked)


def test_a_date_of_two_columns_that_may_be_read_in_two_ways_is_asked_for(api: Api) -> None:
    rows: list[dict[str, object]] = [
        {"Date": "03/04/2026", "Time": "10:00:00", "Item": "Mug", "Qty": 1, "Gross Sales": "$7.00",
         "Transaction ID": "T1", "Event Type": "Payment"},
    ]  # fmt: skip
    found = look(api, written(SQUARE_ITEMS, rows))
    asked = questions(found)["date"]
    assert (asked["column"], asked["field"]) == ("Date", "ordered_at")
    (chosen,) = [choice["set"] for choice in asked["choices"] if choice["set"]["dates"]["ordered_at"].startswith("%m")]
    assert look(api, written(SQUARE_ITEMS, rows), **merged(chosen))["accepted"] == 1
