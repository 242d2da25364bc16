"""The mapping language without a database: where a field's value comes from, and which records are wanted."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.types import Identifier, Integer, Json, Number, Text, Timestamp
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import EventMapping, Field, Profile, Target, register, unregister
from tests.unit.ingest.files import parsing

TARGET = Target(
    "facts",
    (
        Field("key", Identifier(50), True),
        Field("kind", Text(50), True, ("type",)),
        Field("at", Timestamp(), False, ("time",)),
        Field("n", Integer(0, 1000), False),
        Field("price", Number(10, 2, signed=True), False),
        Field("payload", Json(), False, ("data",)),
    ),
    EventMapping("", "id", "key"),
    defaults={"n": "1"},
    profiles=(
        Profile(
            "till",
            frozenset({"shop", "receipt", "what", "pieces"}),
            fields={
                "n": "Pieces",
                "key": {"columns": ["Shop", "Receipt"]},
                "kind": {"column": "What", "values": {"S": "Sold"}},
            },
            rows=[{"column": "What", "not_in": ["T"]}],
        ),
    ),
)
values = partial(parsing.values, TARGET)
refused = partial(parsing.refused, TARGET)
planned = partial(parsing.planned, TARGET)


@pytest.fixture(autouse=True)
def facts() -> Iterator[None]:
    register(TARGET)
    yield
    unregister("facts")


def test_a_key_of_several_columns_and_a_time_of_two() -> None:
    content = b"shop,no,type,day,clock\nA,1,Sold,2010-12-01,08:26\nB,,Sold,2010-12-01,09:00\nC,3,Sold,2010-12-01,\n"
    fields = {"key": {"columns": ["shop", "no"]}, "at": {"columns": ["day", "clock"], "join": " "}}
    assert values(content, fields=fields) == [
        {"key": "A-1", "kind": "Sold", "at": "2010-12-01 08:26:00"},
        {"key": "C-3", "kind": "Sold", "at": "2010-12-01 00:00:00"},
    ]
    assert refused(content, fields=fields) == [(3, "rejected", "key", "no is empty")]


def test_two_records_with_other_parts_never_have_one_key() -> None:
    content = b"shop,no,type,day\nA-B,C,Sold,2010-12-01\nA,B-C,Sold,2010-12-01\nA-B,C,Sold,2010-12-01\n"
    fields: dict[str, Any] = {"key": {"columns": ["shop", "no"]}, "at": {"column": "day"}}
    assert [row["key"] for row in values(content, fields=fields)] == ["A-B-C"]
    reason = "'A-B' has '-' in it, which joins the parts: join says something else"
    assert refused(content, fields=fields) == [(2, "rejected", "key", reason), (4, "rejected", "key", reason)]
    fields["key"]["join"] = "/"
    assert [row["key"] for row in values(content, fields=fields)] == ["A-B/C", "A/B-C", "A-B/C"]


def test_a_format_is_found_in_two_columns_together() -> None:
    content = b"key,type,day,clock\nA,Sold,13/12/2010,08:26\nB,Sold,1/2/2010,09:00\n"
    fields = {"at": {"columns": ["day", "clock"], "join": " "}}
    assert [row["at"] for row in values(content, fields=fields)] == ["2010-12-13 08:26:00", "2010-02-01 09:00:00"]
    with pytest.raises(InvalidInput, match="is ambiguous"):
        planned(content.replace(b"13/", b"3/"), fields=fields)


def test_a_value_is_looked_up_and_one_that_is_not_there_is_named() -> None:
    content = b"key,status,n\nA,delivered,1\nB,shipped,2\nC,,3\nD,lost,4\n"
    kind: dict[str, Any] = {"column": "status", "values": {"delivered": "OrderDelivered", "shipped": "OrderShipped"}}
    assert [row["kind"] for row in values(content, fields={"kind": kind})] == ["OrderDelivered", "OrderShipped"]
    assert refused(content, fields={"kind": kind}) == [
        (4, "rejected", "kind", "missing"),
        (5, "rejected", "kind", "'lost' is not in its table of values (delivered, shipped)"),
    ]
    other = {**kind, "else": "OrderMoved", "values": {**kind["values"], "": "OrderPlaced"}}
    assert [row["kind"] for row in values(content, fields={"kind": other})][2:] == ["OrderPlaced", "OrderMoved"]
    assert refused(content, fields={"kind": {**kind, "else": None}})[1] == (5, "rejected", "kind", "missing")


def test_constants_and_defaults_are_said_beside_the_columns() -> None:
    content = b"key,amount\nA,2\nB,\n"
    fields = {"kind": {"constant": "Sold"}, "n": {"column": "amount", "default": "7"}}
    plan, batches = planned(content, fields=fields)
    assert (plan.constants, plan.defaults, plan.is_computed) == ({"kind": "Sold"}, {"n": "7"}, False)
    assert b"".join(batch.data for batch in batches) == b"A,2\nB,\n", "COPY takes the file as it is"


def test_an_empty_cell_is_as_above_until_a_line_cannot_be_read() -> None:
    content = b'order,type\n,Sold\nA,Sold\n,Sold\n"",Void\nB,Sold\n,"x"y\n,Sold\nC,\n,Sold\n'
    fields = {"key": {"column": "order", "blank": "above"}}
    assert [row["key"] for row in values(content, fields=fields)] == ["A", "A", "A", "B", "C"]
    assert refused(content, fields=fields) == [
        (2, "rejected", "key", "missing"),
        (7, "rejected", None, "text after a closing quote"),
        (8, "rejected", "key", "order is empty, and the line above it could not be read"),
        (9, "rejected", "kind", "missing"),
    ]


def test_within_a_column_an_empty_cell_is_as_above_only_in_its_group() -> None:
    content = b"order,type,who\nA,Sold,ann\nA,Sold,\nB,Sold,\nB,Sold,\nC,Sold,cy\n,Sold,\n"
    fields = {
        "key": {"columns": ["order", "who"], "join": "/", "blank": "above", "within": "order"},
        "kind": {"column": "type"},
    }
    assert [row["key"] for row in values(content, fields=fields)] == ["A/ann", "A/ann", "C/cy", "C/cy"]
    assert [fault[:3] for fault in refused(content, fields=fields)] == [(4, "rejected", "key"), (5, "rejected", "key")]
    rows = [{"column": "who", "empty": True, "blank": "above", "within": "order"}]
    assert [row["key"] for row in values(content, mapping={"order": "key"}, rows=rows)] == ["B", "B"]


def test_a_group_below_a_line_that_cannot_be_read_is_not_known_to_be_empty() -> None:
    content = b'order,type,who\nA,Sold,ann\nB,"x"y,cy\nB,Sold,\nC,Sold,\nC,Sold,\n'
    fields = {"key": {"column": "order"}, "payload": {"constant": "{}"}, "kind": {"column": "type"}}
    rows = [{"column": "who", "empty": True, "blank": "above", "within": "order"}]
    assert [row["key"] for row in values(content, fields=fields, rows=rows)] == ["C", "C"]
    assert refused(content, fields=fields, rows=rows)[2][3] == "who is empty, and the line above it could not be read"


def test_reading_goes_on_within_its_group() -> None:
    content = b"order,type,who\nA,Sold,ann\nA,Sold,\nB,Sold,\nB,Sold,\n"
    rows = [{"column": "who", "empty": True, "blank": "above", "within": "order"}]
    plan, batches = planned(content, mapping={"order": "key"}, rows=rows)
    for place, batch in enumerate(batches[:-1]):
        file = parsing.io.BytesIO(content)
        rest = parsing.read_batches(file, plan, batch.end, batch.next_line, None, batch.above)
        assert [each.data for each in rest] == [each.data for each in batches[place + 1 :]]


def test_of_several_columns_the_first_that_has_something_counts() -> None:
    content = b"sku,name,type\nA1,Lamp,Sold\n,Mug,Sold\n,,Sold\n"
    fields = {"key": {"first": ["sku", "name"]}, "kind": "type"}
    assert [row["key"] for row in values(content, fields=fields)] == ["A1", "Mug"]
    assert refused(content, fields=fields) == [(4, "rejected", "key", "missing")]


def test_reading_goes_on_with_the_value_above() -> None:
    content = b"order,type\nA,Sold\n,Sold\nB,Sold\n,Sold\n"
    plan, batches = planned(content, fields={"key": {"column": "order", "blank": "above"}})
    assert [batch.above for batch in batches] == [{"order": "A"}, {"order": "A"}, {"order": "B"}, {"order": "B"}]
    file = parsing.io.BytesIO(content)
    for place, batch in enumerate(batches[:-1]):
        rest = parsing.read_batches(file, plan, batch.end, batch.next_line, None, batch.above)
        assert [each.data for each in rest] == [each.data for each in batches[place + 1 :]]


def test_rows_that_are_not_wanted_are_skipped_by_name() -> None:
    content = b"key,type,status\nA,Sold,paid\nB,Sold,void\nC,,open\nD,Sold,\n"
    rows = [{"column": "status", "not_in": ["void"]}, {"column": "status", "empty": False}]
    assert [row["key"] for row in values(content, rows=rows)] == ["A"]
    assert refused(content, rows=rows) == [
        (3, "skipped", None, "rows: status is 'void'"),
        (4, "rejected", "kind", "missing"),
        (5, "skipped", None, "rows: status is empty"),
    ]
    assert refused(content, rows=[{"column": "status", "in": ["paid", "open"]}])[0] == (
        3, "skipped", None, "rows: status is 'void', none of paid, open",
    )  # fmt: skip
    assert [row["key"] for row in values(content, rows=[{"column": "status", "empty": True}])] == ["D"]


def test_a_filter_may_look_at_the_cell_above() -> None:
    content = b"order,type,status\nA,Sold,paid\nA,Sold,\nB,Sold,void\nB,Sold,\n"
    rows = [{"column": "status", "in": ["paid"], "blank": "above"}]
    assert [row["key"] for row in values(content, mapping={"order": "key"}, rows=rows)] == ["A", "A"]


def test_all_other_columns_are_the_payload() -> None:
    content = b"id,type,n,colour,,secret\nA,Sold,2,red,x,s\nB,Sold,3,,,s\n"
    fields = {"key": {"column": "id"}, "payload": {"rest": True}}
    found = values(content, fields=fields, mapping={"secret": None})
    assert [json.loads(row["payload"]) for row in found] == [
        {"colour": "red", "column_5": "x"},
        {"colour": None, "column_5": None},
    ]


def test_json_records_are_read_by_paths_and_their_rest_is_kept() -> None:
    lines = [
        {
            "id": 1,
            "type": "Push",
            "repo": {"name": "a/b", "tags": ["x", {"k": 2.50}]},
            "ok": True,
            "time": "2010-12-01",
        },
        {"id": 2, "type": "Push", "repo": "none", "data": {"left": "out"}},
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    fields = {"key": {"path": "repo.name"}, "n": {"path": "repo.tags.1.k"}, "payload": {"rest": True}}
    assert refused(content, fields=fields) == [
        (1, "rejected", "n", "not a whole number"),
        (2, "rejected", "key", "missing"),
    ]
    fields["n"] = {"path": "repo.tags.9"}
    (row,) = values(content, fields=fields, mapping={"ok": None})
    assert json.loads(row.pop("payload")) == {"id": 1, "repo": lines[0]["repo"]}
    assert row == {"key": "a/b", "kind": "Push", "at": "2010-12-01 00:00:00"}


def test_a_path_leads_into_a_record_that_is_an_array_by_column_or_place() -> None:
    content = json.dumps(
        [["repo", "type", "n"], [{"name": "a", "tags": [1, 2]}, "Sold", 3], [None, "Sold", 4]]
    ).encode()
    for path in ("repo.name", "0.name"):
        fields = {"key": {"path": path}, "n": {"path": "repo.tags.1"}}
        assert [(row["key"], row["n"]) for row in values(content, fields=fields)] == [("a", "2")]
        assert refused(content, fields=fields) == [(1, "rejected", "key", "missing")]
    plan = planned(content, fields={"key": {"path": "repo.name"}})
    assert plan[0].unused == []
    assert [row["n"] for row in values(content, fields={"key": {"path": "1"}, "kind": {"path": "1"}})] == ["3", "4"]
    for path in ("3.name", "nowhere.name"):
        with pytest.raises(InvalidInput, match=r"the records have no column '.*'; they have repo, type, n, or a place"):
            planned(content, fields={"key": {"path": path}})


@pytest.mark.parametrize(
    "content",
    [
        b'[["key","type","n"],["A","Sold",3],\n["B","Sold"],["C","Sold",null]]',
        b'["key","type","n"]\n["A","Sold",3]\n["B","Sold"]\n["C","Sold",null]\n',
    ],
)
def test_json_rows_may_be_arrays(content: bytes) -> None:
    assert values(content) == [{"key": "A", "kind": "Sold", "n": "3"}, {"key": "C", "kind": "Sold"}]
    assert [reason for *_, reason in refused(content)] == ["has 2 values, the header has 3"]
    named = values(content.replace(b'["key","type","n"]', b'["K","T",9]'), header=["key", "kind", "n"])
    assert [row["key"] for row in named] == ["K", "A", "C"]


def test_names_for_a_file_without_a_header() -> None:
    assert values(b"A,Sold\nB,Sold\n", header=["key", "kind"])[1] == {"key": "B", "kind": "Sold"}
    with pytest.raises(InvalidInput, match="names 3 columns, the first record has 2"):
        planned(b"A,Sold\n", header=["key", "kind", "n"])


def test_one_column_may_be_two_fields() -> None:
    assert values(b"what\nA\n", fields={"key": "what", "kind": "what"}) == [{"key": "A", "kind": "A"}]


def test_a_profile_says_it_and_the_caller_counts_before() -> None:
    content = b"Shop,Receipt,What,Type,Pieces\nX,1,S,t,4\nX,2,T,u,4\n"
    assert values(content) == [{"key": "X-1", "kind": "Sold", "n": "4"}]
    assert refused(content) == [(3, "skipped", None, "rows: What is 'T'")]
    assert values(content, mapping={"Type": "kind"}) == [{"key": "X-1", "kind": "t", "n": "4"}]
    assert values(content.lower().replace(b"what", b"WHAT").replace(b",s,", b",S,")) == [
        {"key": "x-1", "kind": "Sold", "n": "4"}
    ], "the header may be spelled in another way"


def test_a_plan_is_kept_as_json_and_shown() -> None:
    fields = {"key": {"columns": ["a", "b"]}, "payload": {"rest": True}}
    plan, _ = planned(
        b"a,b,type,c\n1,2,x,4\n", fields=fields, rows=[{"column": "c", "empty": False}], zone="Asia/Tokyo"
    )
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))).described() == plan.described()
    shown = plan.described()
    assert (shown["fields"], shown["mapping"], shown["zone"]) == (fields, {"type": "kind"}, "Asia/Tokyo")
    assert shown["rows"] == [{"column": "c", "empty": False}]


@pytest.mark.parametrize(
    ("options", "place", "reason"),
    [
        ({"fields": {"key": 7}}, "fields.key", "the name of a column or an object"),
        ({"fields": {"key": {}}}, "fields.key", "must have one of column"),
        ({"fields": {"key": {"column": "a", "path": "b"}}}, "fields.key", "must have one of"),
        ({"fields": {"key": {"column": "a", "join": "-"}}}, "fields.key", "'join' does not go with column"),
        ({"fields": {"key": {"columns": []}}}, "fields.key.columns", "a list of 1 to"),
        ({"fields": {"key": {"path": "a..b"}}}, "fields.key.path", "names or numbers"),
        ({"fields": {"key": {"rest": False}}}, "fields.key.rest", "true"),
        ({"fields": {"key": {"column": "a", "values": {"x": 1}}}}, "fields.key.values.x", "a text"),
        ({"fields": {"key": {"column": "a", "else": "x"}}}, "fields.key.else", "goes with values"),
        ({"fields": {"key": {"column": "a", "blank": "below"}}}, "fields.key.blank", "above"),
        ({"fields": {"key": {"column": "a", "within": "b"}}}, "fields.key.within", "goes with blank"),
        ({"fields": {"key": {"first": "a"}}}, "fields.key.first", "a list of"),
        ({"rows": [{"column": "a", "empty": True, "within": "b"}]}, "rows.0.within", "goes with blank"),
        ({"fields": {"key": "a"}, "mapping": {"a": "key"}}, "fields", "key is said here and in mapping"),
        ({"fields": {"key": "a"}, "constants": {"key": "x"}}, "fields", "key is said here and in constants"),
        ({"fields": {"n": {"column": "a", "default": "1"}}, "defaults": {"n": "2"}}, "fields", "default of n"),
        ({"rows": {"column": "a"}}, "rows", "a list"),
        ({"rows": [{"column": "a"}]}, "rows.0", "must have one of in, not_in, empty"),
        ({"rows": [{"column": "a", "in": ["x"], "empty": True}]}, "rows.0", "must have one of"),
        ({"rows": [{"column": "a", "in": "x"}]}, "rows.0.in", "a list of"),
        ({"rows": [{"column": "a", "equals": "x"}]}, "rows.0", "'equals' is not a part"),
        ({"dates": {"at": []}}, "dates.at", "a list of 1 to"),
        ({"dates": {"at": ["%m/%y"]}}, "dates.at", "must have a year"),
        ({"dates": {"at": "%Y-%m-%d %H:%M %Z"}}, "dates.at", "%Z names no offset"),
        ({"zone": "Europe/Atlantis"}, "zone", "not an IANA time zone"),
        ({"skip_rows": -1}, "skip_rows", "a whole number"),
        ({"skip_rows": True}, "skip_rows", "a whole number"),
        ({"quote": "x"}, "quote", "one of"),
        ({"header": [1]}, "header", "a text"),
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_named(options: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        Options.read(options)
    assert caught.value.details["errors"][0]["field"] == place  # type: ignore[index]


@pytest.mark.parametrize(
    ("options", "place", "reason"),
    [
        ({"fields": {"key": "nowhere"}}, "fields.key", "no column 'nowhere'"),
        ({"fields": {"key": {"columns": ["key", "nowhere"]}}}, "fields.key", "no column 'nowhere'"),
        ({"fields": {"colour": "key"}}, "fields", "no field 'colour'"),
        ({"fields": {"key": {"rest": True}}}, "fields.key.rest", "a JSON object"),
        ({"fields": {"n": {"path": "a.b"}}}, "fields.n.path", "leads into JSON, and this file has columns"),
        ({"rows": [{"column": "nowhere", "empty": True}]}, "rows.0", "no column 'nowhere'"),
        ({"mapping": {"type": None}, "fields": {"kind": "type"}}, "fields.kind", "left out by the mapping"),
    ],
)
def test_columns_and_fields_that_are_not_there_are_named(options: dict[str, Any], place: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        planned(b"key,type\nA,x\n", **options)
    assert caught.value.details["errors"][0]["field"] == place  # type: ignore[index]
