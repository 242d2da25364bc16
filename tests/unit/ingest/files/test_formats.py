"""Workbooks, Parquet files and zip archives are read as the table that is in them, or refused with the reason.

Over 400 lines because every format is held against the same tables, made by other libraries than those that read them.
"""

import csv
import datetime
import gzip
import io
import random
import re
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openpyxl
import pyarrow
import pytest
import python_calamine
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse import parquet
from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.contents import Contents, contents
from penstock.ingest.files.parse.dialect import sniff
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.stream import BadFile, Meter
from penstock.ingest.files.parse.types import Identifier, Integer, Number, Text, Timestamp
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planning import make_plan
from penstock.ingest.files.target import Field, Table, Target, register, unregister
from tests.tables import csv_file, parquet_file, saved, workbook_of, xlsx_file, zip_file

TARGET = Target(
    "sales",
    (
        Field("id", Identifier(50), True),
        Field("n", Integer(0, 1000), True),
        Field("price", Number(), False),
        Field("at", Timestamp(), False),
        Field("note", Text(1000), False),
    ),
    Table("public.sales", ("id",)),
)
HEADER = ["id", "n", "price", "at", "note"]


@pytest.fixture(autouse=True, scope="module")
def sales() -> Iterator[None]:
    register(TARGET)
    yield
    unregister("sales")


def planned(content: bytes, **options: Any) -> tuple[Plan, list[ParsedBatch]]:
    checked = Options.read(options)
    with contents(io.BytesIO(content), checked.sheet) as file:
        dialect = sniff(file, checked)
        plan = make_plan(TARGET, dialect, checked)
        return plan, list(read_batches(file, plan, dialect.body, dialect.first_line))


def rows(content: bytes, **options: Any) -> list[list[str]]:
    plan, batches = planned(content, **options)
    data = b"".join(batch.data for batch in batches).decode()
    found = list(csv.reader(io.StringIO(data, newline=""), delimiter=plan.dialect.delimiter, strict=True))
    return [[_canonical(cell) for cell in row] for row in found]


def _canonical(cell: str) -> str:
    """A time, which the fast path leaves as it is, in one way of writing it."""
    return moment_of(cell).isoformat() if re.match(r"\d{4}-\d\d-\d\d", cell) else cell


def rejects(content: bytes, **options: Any) -> list[tuple[int, str | None, str]]:
    return [(b.reject.line, b.reject.field, b.reject.reason) for b in planned(content, **options)[1] if b.reject]


def text_of(content: bytes, sheet: str | None = None) -> str:
    with contents(io.BytesIO(content), sheet) as file:
        return b"".join(iter(lambda: file.read(1000), b"")).decode()


def cells(content: bytes) -> list[list[str]]:
    return [line.split(",") for line in text_of(content).split("\r")[:-1]]


def moment(*parts: int) -> datetime.datetime:
    """Without a zone, as sheets have them."""
    return datetime.datetime(*parts)  # type: ignore[arg-type] # noqa: DTZ001


def moment_of(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


MOMENT = moment(2024, 2, 29, 13, 14, 15)
TABLE = [
    HEADER,
    ["A-1", 3, 1.25, MOMENT, "größe, fine"],
    ["007", 0, 0.1, moment(2024, 3, 1), 'two\nlines and "quotes"'],
    [17850, 12, 0.0001, None, None],
]
SAID = [
    ["A-1", "3", "1.25", "2024-02-29T13:14:15", "größe, fine"],
    ["007", "0", "0.1", "2024-03-01T00:00:00", 'two\nlines and "quotes"'],
    ["17850", "12", "0.0001", "", ""],
]


def test_a_workbook_is_read_as_its_sheet_shows() -> None:
    plan, _ = planned(xlsx_file(TABLE))
    assert (plan.dialect.container, plan.dialect.sheet) == ("xlsx", "Sheet")
    assert rows(xlsx_file(TABLE)) == SAID


def test_a_parquet_file_is_read_as_its_columns_say() -> None:
    table = [[str(row[0]), *row[1:]] for row in TABLE]
    content = parquet_file(table, row_group_size=2)
    assert planned(content)[0].dialect.container == "parquet"
    assert rows(content) == SAID


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_one_file_of_a_zip_archive_is_read(compression: int) -> None:
    text = csv_file([HEADER, ["a", 1, "", "", "x"], ["b", 2, "", "", "y"]])
    side = {"__MACOSX/._sales.csv": b"\0\5", "export/.DS_Store": b"x", "export/": b""}
    content = zip_file({**side, "export/sales.csv": text}, compression)
    assert planned(content)[0].dialect.container == "zip"
    assert rows(content) == [["a", "1", "", "", "x"], ["b", "2", "", "", "y"]]
    assert rows(zip_file({"s.csv.gz": gzip.compress(text)}, compression)) == rows(content)
    assert rows(zip_file({"s.jsonl": b'{"id":"a","n":1}\n'}, compression)) == [["a", "1", "", "", ""]]
    assert planned(zip_file({"s.xlsx": xlsx_file(TABLE)}, compression))[0].dialect.container == "zip xlsx"
    assert rows(zip_file({"s.xlsx": xlsx_file(TABLE)}, compression)) == SAID


def test_an_archive_of_the_64_bit_kind_is_read() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, archive.open("s.csv", "w", force_zip64=True) as inner:
        inner.write(b"id,n\na,1\n")
    assert rows(file.getvalue()) == [["a", "1"]]


PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), min_size=1, max_size=12).map(
    lambda text: f"x{text}y"
)
LINES = st.lists(
    st.tuples(
        st.integers(0, 999),
        st.one_of(st.none(), st.integers(0, 10**9), st.integers(0, 10**6).map(lambda n: n / 100)),
        st.one_of(st.none(), st.datetimes(moment(2001, 1, 1), moment(2025, 1, 1))),
        st.one_of(st.none(), PLAIN, PLAIN.map(lambda text: f'{text}\n"{text}, x')),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(LINES)
def test_a_table_means_the_same_as_csv_workbook_and_parquet(lines: list[tuple[Any, ...]]) -> None:
    body = [
        [f"r{place}", n, price, at and at.replace(microsecond=at.microsecond // 1000 * 1000), note]
        for place, (n, price, at, note) in enumerate(lines)
    ]

    def meant(content: bytes) -> list[tuple[Any, ...]]:
        return [
            (
                row[0],
                int(row[1]),
                row[2] and Decimal(row[2]),
                row[3] and moment_of(row[3]),
                row[4],
            )
            for row in rows(content)
        ]

    expected = meant(csv_file([HEADER, *body]))
    assert len(expected) == len(body)
    assert meant(xlsx_file([HEADER, *body])) == expected
    types = {"price": pyarrow.float64(), "at": pyarrow.timestamp("us"), "note": pyarrow.string()}
    assert meant(parquet_file([HEADER, *body], types)) == expected


def test_the_values_of_a_sheet_are_those_that_another_reader_finds() -> None:
    chance = random.Random(5)
    table: list[list[Any]] = [
        [
            chance.choice(["", "text", "naïve ☃", " blanks "]) or None,
            chance.randrange(-(10**12), 10**12),
            chance.uniform(-1e6, 1e6),
            chance.random() < 0.5,
            moment(1900, 3, 1) + datetime.timedelta(milliseconds=chance.randrange(4 * 10**12)),
            datetime.date(1900, 3, 1) + datetime.timedelta(days=chance.randrange(60_000)),
            datetime.time(chance.randrange(24), chance.randrange(60), chance.randrange(60)),
        ]
        for _ in range(300)
    ]
    content = xlsx_file(table)
    reference = python_calamine.load_workbook(io.BytesIO(content)).get_sheet_by_index(0).to_python()
    for row, line in zip(reference, cells(content), strict=True):
        text, whole, number, truth, at, day, clock = row
        assert [line[0], int(line[1]), float(line[2]), line[3] == "true"] == [text, whole, number, truth]
        assert moment_of(line[4]) == at
        assert [line[5], line[6]] == [str(day), str(clock)]


def test_lines_of_rejects_are_the_rows_of_the_sheet() -> None:
    table: list[list[Any]] = [
        [], HEADER, ["a", 1, None, None, "one\ntwo\r\nthree"], [], [None, None], ["b", "x"], ["c", 2, "y"], ["d", 3],
    ]  # fmt: skip
    content = xlsx_file(table)
    assert [(line, field) for line, field, _ in rejects(content)] == [(6, "n"), (7, "price")]
    assert [row[0] for row in rows(content)] == ["a", "d"]
    assert rows(content)[0][4] == "one\ntwo\nthree"
    assert [(line, field) for line, field, _ in rejects(parquet_file([["id", "n"], ["a", 1], ["b", -1]]))] == [(3, "n")]


def test_an_error_cell_is_a_reject_where_the_column_is_wanted() -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    for row in (HEADER, ["a", 1], ["b", 2, None, None, "#N/A"], ["c", "#DIV/0!"], ["d", 4, None, None, "is #N/A"]):
        sheet.append(row)
    assert sheet["E3"].data_type == sheet["B4"].data_type == "e"
    content = saved(book)
    assert rejects(content) == [
        (3, "note", "the cell holds the error #N/A"),
        (4, "n", "the cell holds the error #DIV/0!"),
    ]
    (reject,) = [batch.reject for batch in planned(content)[1] if batch.reject and batch.reject.line == 3]
    assert reject.content == b"b,2,,,#N/A"
    assert [row[0] for row in rows(content, mapping={"note": None})] == ["a", "b", "d"]
    blob = parquet_file([["id", "n", "note"], ["a", 1, b"ab"], ["b", 2, b"\xff"]])
    assert rejects(blob) == [(3, "note", "the cell holds the error bytes that are not UTF-8")]
    assert len(rows(blob, mapping={"note": None})) == 2
    nothing = parquet_file([["id", "n", "note"], ["a", 1, 1.5], ["b", 2, float("nan")]])
    assert rejects(nothing) == [(3, "note", "the cell holds the error not a number")]


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ('<c r="A1"><v>123456789012345678</v></c>', "123456789012345678"),
        ('<c r="A1"><v>1.0</v></c>', "1"),
        ('<c r="A1"><v>0.10000000000000001</v></c>', "0.1"),
        ('<c r="A1"><v>1.5E+3</v></c>', "1500"),
        ('<c r="A1"><f>1+1</f><v>2</v></c>', "2"),
        ('<c r="A1" t="str"><f>"a"&amp;"b"</f><v>ab</v></c>', "ab"),
        ('<c r="A1" t="s"><v>0</v></c>', "plain"),
        ('<c r="A1" t="s"><v>1</v></c>', "bold and not"),
        ('<c r="A1" t="s"><v>2</v></c>', "東京"),
        ('<c r="A1" t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r></is></c>', "inline"),
        ('<c r="A1" t="d"><v>2024-02-29T01:02:03</v></c>', "2024-02-29T01:02:03"),
        ('<c r="A1" t="b"><v>0</v></c>', "false"),
        ('<c r="A1" s="1"><v>45351</v></c>', "2024-02-29"),
        ('<c r="A1" s="1"><v>1</v></c>', "1900-01-01"),
        ('<c r="A1" s="1"><v>60</v></c>', "60"),
        ('<c r="A1" s="1"><v>61</v></c>', "1900-03-01"),
        ('<c r="A1" s="2"><v>45351.999999994</v></c>', "2024-02-29T23:59:59.999"),
        ('<c r="A1" s="3"><v>1.25</v></c>', "30:00:00"),
        ('<c r="A1" s="4"><v>0.5</v></c>', "12:00:00"),
        ('<c r="A1" s="5"><v>45351</v></c>', "45351"),
        ("<c><v>7</v></c>", "7"),
    ],
)
def test_a_cell_is_what_it_shows(cell: str, shown: str) -> None:
    content = workbook_of(
        f'<row r="1">{cell}</row>',
        strings="<si><t>plain</t></si><si><r><t>bold</t></r><r><t> and not</t></r></si>"
        "<si><t>東京</t><rPh><t>とうきょう</t></rPh></si>",
        styles='<numFmts><numFmt numFmtId="164" formatCode="[$-409]d&quot;h&quot; mmm yyyy"/>'
        '<numFmt numFmtId="165" formatCode="[h]:mm"/><numFmt numFmtId="166" formatCode="[Red]0.0&quot;days&quot;"/>'
        '</numFmts><cellStyleXfs><xf numFmtId="14"/></cellStyleXfs><cellXfs><xf numFmtId="0"/><xf numFmtId="164"/>'
        '<xf numFmtId="22"/><xf numFmtId="165"/><xf numFmtId="20"/><xf numFmtId="166"/></cellXfs>',
    )
    assert text_of(content) == f"{shown}\r"


def test_a_workbook_whose_elements_have_a_prefix_is_read() -> None:
    row = '<x:row r="1"><x:c r="B1"><x:v>5</x:v></x:c></x:row>'
    sheet = f'<x:worksheet xmlns:x="urn:x"><x:sheetData>{row}</x:sheetData></x:worksheet>'
    assert text_of(workbook_of(sheet, rows_only=False)) == ",5\r"


def test_years_from_1904_on() -> None:
    book = openpyxl.Workbook()
    book.epoch = openpyxl.utils.datetime.CALENDAR_MAC_1904
    book.worksheets[0].append([moment(2024, 2, 29, 12)])
    assert text_of(saved(book)) == "2024-02-29T12:00:00\r"


def test_one_of_several_sheets_has_to_be_chosen() -> None:
    content = xlsx_file([HEADER, ["a", 1]], Returns=[HEADER, ["b", 2]], Empty=[])
    with pytest.raises(InvalidInput, match="several sheets: say which one, 'Sheet', 'Returns'") as refused:
        planned(content)
    assert refused.value.details["sheets"] == ["Sheet", "Returns"]
    for wanted in ("Returns", "returns", "2"):
        assert rows(content, sheet=wanted)[0][0] == "b"
    with pytest.raises(InvalidInput, match="no sheet '4'; it has 'Sheet', 'Returns', 'Empty'"):
        planned(content, sheet="4")


def test_hidden_and_empty_sheets_are_passed_over_unless_they_are_asked_for() -> None:
    book = openpyxl.load_workbook(io.BytesIO(xlsx_file([HEADER, ["a", 1]], Old=[HEADER, ["b", 2]], Empty=[])))
    book["Old"].sheet_state = "hidden"
    assert rows(saved(book))[0][0] == "a"
    assert rows(saved(book), sheet="Old")[0][0] == "b"
    del book["Sheet"]
    book.active = book["Empty"]
    with pytest.raises(BadFile, match="no sheet that is shown has anything in it; hidden: 'Old'"):
        planned(saved(book))


def test_of_merged_cells_the_first_has_the_value() -> None:
    book = openpyxl.load_workbook(io.BytesIO(xlsx_file([HEADER, ["a", 1, None, None, "x"], ["b", 2, None, None, "y"]])))
    book.worksheets[0].merge_cells("E2:E3")
    assert [row[4] for row in rows(saved(book))] == ["x", ""]


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "zip"])
def test_reading_from_any_batch_gives_the_same_rest(kind: str) -> None:
    table = [["id", "n", "note"], *([f"r{n}", n % 1100, f"note {n % 13}\nend"] for n in range(3000))]
    content = {
        "xlsx": xlsx_file, "parquet": parquet_file, "zip": lambda rows: zip_file({"a.csv": csv_file(rows)}),
    }[kind](table)  # fmt: skip
    plan, whole = planned(content)
    assert sum(batch.records + bool(batch.reject) for batch in whole) == 3000
    for place in range(0, len(whole), 101):
        with contents(io.BytesIO(content)) as file:
            rest = list(read_batches(file, plan, whole[place].end, whole[place].next_line, meter := Meter()))
        assert b"".join(b.data for b in rest) == b"".join(b.data for b in whole[place + 1 :])
        assert [b.reject for b in rest if b.reject] == [b.reject for b in whole[place + 1 :] if b.reject]
        assert len(content) // 2 < meter.consumed <= len(content)


def encrypted() -> bytes:
    content = bytearray(zip_file({"a.csv": b"id,n\na,1\n"}))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    return bytes(content)


def with_another_size(size: int) -> bytes:
    content = bytearray(zip_file({"a.csv": b"id,n\n" + b"a,1\n" * 1000}))
    struct.pack_into("<I", content, content.index(b"PK\x01\x02") + 24, size)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (encrypted(), "'a.csv' is encrypted: pack it without a password"),
        (zip_file({"a.csv": b"1", "b/c.csv": b"2"}), r"has 2 files \('a.csv', 'b/c.csv'\): send them one by one"),
        (zip_file({}), "the zip archive is empty"),
        (zip_file({"a/": b""}), "the zip archive is empty"),
        (zip_file({"a.csv": b"id,n\na,1\n"}, zipfile.ZIP_BZIP2), "compressed in another way than deflate"),
        (zip_file({"a.csv": b"id,n\n" + b"a,1\n" * 1000})[:-30], "a zip archive that is damaged or cut off"),
        (b"PK\x03\x04" + bytes(100), "a zip archive that is damaged or cut off"),
        (with_another_size(10), "'a.csv' is larger than the zip archive says"),
        (with_another_size(10**6), "'a.csv' is damaged: its checksum differs"),
        (zip_file({"a.zip": zip_file({"a.csv": b"x"})}), "has another archive in it"),
        (zip_file({"a.parquet": parquet_file([["id"], ["a"]])}), "a Parquet file within a zip archive"),
        (zip_file({"mimetype": b"application/vnd.oasis.opendocument.spreadsheet"}), "an OpenDocument file"),
        (zip_file({"xl/workbook.bin": b"x", "[Content_Types].xml": b""}), "an .xlsb workbook"),
        (zip_file({"a.csv": b"id,n\n" + b"a,1\n" * (5 << 20)}), "refused as a bomb"),
        (b"PAR1" + bytes(100), "the Parquet file cannot be read"),
        (b"\xd0\xcf\x11\xe0" + bytes(600), "an old Office document, or one with a password"),
        (workbook_of('<row r="1"><c r="A1" t="s"><v>0</v></c></row>'), "refers to a text that the workbook does not"),
        (workbook_of('<row r="2"><c r="A2"><v>1</v></c></row><row r="1"/>'), "row 1 comes after row 2"),
        (workbook_of('<row r="1048577"><c r="A2"><v>1</v></c></row>'), "or is beyond 1048576"),
        (workbook_of('<row r="1"><c r="B1"><v>1</v></c><c r="A1"><v>1</v></c></row>'), "not in order"),
        (workbook_of('<row r="1"><c r="A1"><v>1</v></row>'), "is damaged: mismatched tag"),
        (workbook_of("<!DOCTYPE a><a/>", rows_only=False), "declares a document type"),
        (workbook_of(f'<row r="1" spans="{"1" * (5 << 20)}"/>'), "bomb|a tag of more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_what_cannot_be_read_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        planned(content)


def test_two_cells_far_apart_cost_neither_time_nor_memory() -> None:
    content = workbook_of(
        '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    )
    tracemalloc.start()
    text = text_of(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (text.count("\r"), text[:2]) == (1048576, "1,")
    assert peak < 16 << 20


def test_a_text_that_many_cells_share_is_no_way_to_fill_a_disk() -> None:
    body = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(1, 20_000))
    noise = "".join(random.Random(1).choices("abcdefghijklmnop", k=50_000))
    started = time.monotonic()
    with pytest.raises(BadFile, match="refused as a bomb"):
        text_of(workbook_of(body, strings=f"<si><t>{noise}</t></si>"))
    assert time.monotonic() - started < 20


def test_a_large_sheet_is_read_in_bounded_memory() -> None:
    chance = random.Random(3)
    body = "".join(
        f'<row r="{n}"><c r="A{n}"><v>{chance.random()}</v></c><c r="B{n}"><v>{n}</v></c></row>'
        for n in range(1, 60_001)
    )
    content = workbook_of(body)
    tracemalloc.start()
    with contents(io.BytesIO(content)) as file:
        size = sum(len(block) for block in iter(lambda: file.read(1 << 16), b""))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 1 << 20
    assert peak < 8 << 20


def test_what_comes_before_a_fault_is_given_first_and_the_fault_again() -> None:
    def broken(_: Meter) -> Iterator[bytes]:
        yield b"id,n\r"
        raise BadFile("torn", field="file")

    file = Contents("zip", broken, is_rows=False)
    assert file.read(100) == b"id,n\r"
    for _ in range(2):
        with pytest.raises(BadFile, match="torn"):
            file.read(100)


def test_parquet_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(InvalidInput, match=r"pip install 'penstock-events\[parquet\]'"):
        planned(parquet_file([["id", "n"], ["a", 1]]))


def test_the_types_of_parquet() -> None:
    utc = moment(2024, 1, 2, 3, 4, 5, 678).replace(tzinfo=datetime.UTC)
    values: dict[str, tuple[Any, Any, str]] = {
        "decimal": (Decimal("1.10"), pyarrow.decimal128(10, 2), "1.10"),
        "large": (2**63 - 1, pyarrow.int64(), "9223372036854775807"),
        "float": (0.1 + 0.2, pyarrow.float64(), "0.30000000000000004"),
        "whole": (3.0, pyarrow.float64(), "3"),
        "truth": (True, pyarrow.bool_(), "true"),
        "day": (datetime.date(2024, 1, 2), pyarrow.date32(), "2024-01-02"),
        "zoned": (utc, pyarrow.timestamp("us", "Europe/Paris"), "2024-01-02 03:04:05.000678Z"),
        "nanoseconds": (1704164645123456789, pyarrow.timestamp("ns"), "2024-01-02 03:04:05.123456"),
        "list": ([1, 2], pyarrow.list_(pyarrow.int64()), '"[1, 2]"'),
        "bytes": (b"abc", pyarrow.binary(), "abc"),
        "missing": (None, pyarrow.null(), ""),
        "category": ("u", pyarrow.dictionary(pyarrow.int8(), pyarrow.string()), "u"),
    }
    content = parquet_file(
        [list(values), [value for value, _, _ in values.values()]],
        {name: kind for name, (_, kind, _) in values.items()},
    )
    header, row, rest = text_of(content).split("\r")
    assert (header, row, rest) == (",".join(values), ",".join(text for _, _, text in values.values()), "")


def test_a_parquet_file_with_a_huge_row_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_GROUP", 100)
    with pytest.raises(BadFile, match=r"a row group of \d+ bytes, more than 100"):
        planned(parquet_file([["id"], *([f"row {n}"] for n in range(1000))]))
