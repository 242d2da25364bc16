"""Where records begin and end: preambles, other quotes, escapes, lost delimiters, quotes without a partner."""

import csv
import io
import random
import timeit
from collections.abc import Iterator
from functools import partial

import pytest

from penstock.errors import InvalidInput
from penstock.ingest.files.parse import stream
from penstock.ingest.files.parse.types import Identifier, Text
from penstock.ingest.files.target import Field, Table, Target, register, unregister
from tests.unit.ingest.files import parsing

TARGET = Target(
    "notes",
    (Field("id", Identifier(50), True), Field("name", Text(200), False), Field("note", Text(2000), False)),
    Table("public.notes", ("id",)),
)
values = partial(parsing.values, TARGET)
refused = partial(parsing.refused, TARGET)
planned = partial(parsing.planned, TARGET)
ANN = {"id": "a", "name": "Ann", "note": "fine"}


@pytest.fixture(autouse=True)
def notes() -> Iterator[None]:
    register(TARGET)
    yield
    unregister("notes")


def reasons(content: bytes, **options: object) -> list[tuple[int, str]]:
    return [(line, reason) for line, _, _, reason in refused(content, **options)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_preamble_of_another_width_is_passed_over_and_noted(line_end: str) -> None:
    lines = ["Customers of 2010", "printed: Ann", "", "id;name;note", "a;Ann;fine", "b;Bob"]
    content = line_end.join(lines).encode()
    assert values(content) == [ANN]
    assert reasons(content) == [(6, "has 2 fields, the header has 3")]
    assert planned(content)[0].described()["notes"] == ["the header follows 3 lines that are passed over"]


def test_a_header_is_not_taken_for_a_preamble() -> None:
    content = b"id,name,note\na,Ann\nb,Bob\nc,Cleo\n"
    assert [reason for _, reason in reasons(content)] == ["has 2 fields, the header has 3"] * 3


def test_lines_before_the_header_may_be_counted() -> None:
    content = b"one,two,three\nfour,five,six\nid,name,note\na,Ann,fine\n,,\n"
    assert values(content, skip_rows=2) == [ANN]
    assert [line for line, _ in reasons(content, skip_rows=2)] == [5]
    with pytest.raises(InvalidInput, match="no more lines"):
        planned(content, skip_rows=9)


@pytest.mark.parametrize("first", ["sep=|", '"sep=|"', "SEP=|"])
def test_a_line_that_names_the_delimiter_is_none_of_the_records(first: str) -> None:
    content = f"{first}\r\nid|name|note\r\na|Ann|fine\r\nb|Bob,x;y\r\n".encode()
    assert values(content) == [ANN]
    assert reasons(content) == [(4, "has 2 fields, the header has 3")]


def test_a_name_that_is_there_twice_gets_a_number_and_a_note() -> None:
    plan, _ = planned(b"id,note,note,note_2,note\na,1,2,3,4\n", mapping={"note_4": "name"})
    assert plan.dialect.header == ("id", "note", "note_3", "note_2", "note_4")
    assert [note.rpartition(" ")[2] for note in plan.described()["notes"]] == ["note_3", "note_4"]
    assert plan.fields == ("id", "note", None, None, "name")


def test_other_quotes_and_none() -> None:
    content = b"id,name,note\na,'Ann, ''A''','\"two\"\nlines'\nb,Bob,it's\n"
    assert values(content, quote="'") == [
        {"id": "a", "name": "Ann, 'A'", "note": '"two"\nlines'},
        {"id": "b", "name": "Bob", "note": "it's"},
    ]
    assert values(b'id\tname\tnote\na\t"Ann\t5"\n', quote="none") == [{"id": "a", "name": '"Ann', "note": '5"'}]


def test_a_backslash_escapes_where_it_is_said_or_seen() -> None:
    content = b"id\tname\tnote\na\tAnn\\tB\ttwo\\nlines \\\\ \\x\nb\t\\N\tx\\\ny\n"
    expected = [{"id": "a", "name": "Ann\tB", "note": "two\nlines \\ x"}, {"id": "b", "note": "x\ny"}]
    assert values(content) == values(content, escape="backslash") == expected
    assert planned(content)[0].described()["escape"] == "backslash"
    assert refused(content, escape="none") != []
    quoted = b'id,name,note\na,"Ann \\"A\\", ""B""",\\"x\n'
    assert values(quoted, escape="backslash") == [{"id": "a", "name": 'Ann "A", "B"', "note": '"x'}]
    assert reasons(b"id,name,note\na,Ann,x\\", escape="backslash") == [(2, "a quote that is not closed")]


def test_a_lost_delimiter_is_seen_where_every_line_ends_with_one() -> None:
    """Were the empty cell at the end not counted, only a line that lost a delimiter would be as wide as the header."""
    content = b"id,name,note\na,Ann,fine,\nb,Bobfine,\nc,Cleo,,\nd,Di,x,y\ne,Eve,,\n"
    assert [row["id"] for row in values(content)] == ["a", "c", "e"]
    assert reasons(content) == [(3, "has 3 fields, the header has 4"), (5, "text after the last column")]
    assert values(content, fields={"note": {"columns": ["name", "note"]}}) == [
        {"id": "a", "name": "Ann", "note": "Ann-fine"},
        {"id": "c", "name": "Cleo", "note": "Cleo"},
        {"id": "e", "name": "Eve", "note": "Eve"},
    ]
    assert planned(content)[0].described()["notes"] == ["lines end with a delimiter that the header does not have"]


def test_a_delimiter_at_the_end_of_the_header_alone_is_no_column() -> None:
    assert values(b"id,name,note,\na,Ann,fine\nb,Bobfine\na,Ann,fine\n") == [ANN] * 2


def test_a_record_of_several_lines_that_may_be_two_is_not_taken() -> None:
    one_line = b'id,name,note\na,Ann,"fine\nb,Bob,", x"\nc,Cleo,fine\n'
    assert [row["id"] for row in values(one_line)] == ["b", "c"]
    assert reasons(one_line) == [(2, "a quote that is not closed in this record")]
    broken = b'id,name,note\na,Ann,"fine\nb,Bob,", and\nmore"\nc,Cleo,fine\n'
    assert [row["id"] for row in values(broken)] == ["c"]
    seam = b'id,name,note\na,Ann,"open\nb,Bob,"\nmore"\nc,Cleo,fine\n'
    assert [row["id"] for row in values(seam)] == ["c"]
    first_cell = b'id,name,note\na,Ann,"open\n"\nkey",Bob,x\nc,Cleo,fine\n'
    assert [row["id"] for row in values(first_cell)] == ["c"]
    assert (2, "the quote that closes in line 3 may open a cell there: none of lines 2 to 4 is taken") in reasons(seam)


def test_a_cell_may_end_with_a_line_end() -> None:
    content = b'id,name,note\na,Ann,"two\nlines\n"\nb,Bob,"and\n"\n'
    assert [row["note"] for row in values(content)] == ["two\nlines", "and"]


TEXTS = (
    "", "plain", "with, comma", 'say "hi"', '"', "two\nlines", "\nfirst", "last\n", ",", ",\n", "a,b\nc,d", '"\n"',
    ",x\ny", "ends,", 'q",\n"q', "three\n\nlines", "Regards,\nAnn,", "x" * 50,
)  # fmt: skip


def written(rng: random.Random, number: int) -> tuple[list[list[str]], list[bytes]]:
    """Records, and each as a writer of CSV writes it: quotes where they are needed, or everywhere."""
    records = [[f"r{place}", rng.choice(TEXTS), rng.choice(TEXTS)] for place in range(number)]
    quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC))
    lines = []
    for record in records:
        text = io.StringIO(newline="")
        csv.writer(text, quoting=quoting, lineterminator="\n").writerow(record)
        lines.append(text.getvalue().encode())
    records[0], lines[0] = ["r0", "plain", "in quotes"], b'r0,plain,"in quotes"\n'
    return records, lines


def closing_quotes(line: bytes) -> list[int]:
    """The places of quotes that close a cell."""
    places, inside, place = [], False, 0
    while place < len(line):
        if line[place : place + 1] == b'"':
            if inside and line[place + 1 : place + 2] == b'"':
                place += 1
            elif inside:
                places.append(place)
                inside = False
            else:
                inside = True
        place += 1
    return places


def opening_quote(line: bytes, cells: list[str]) -> int:
    """The place of the quote that opens the cell of several lines, in a record with one of them."""
    (number,) = [place for place, text in enumerate(cells) if "\n" in text]
    before = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if line.startswith(b'"') else csv.QUOTE_MINIMAL
    csv.writer(before, quoting=quoting, lineterminator="").writerow(cells[:number])
    return len(before.getvalue().encode()) + 1


@pytest.mark.parametrize("blocks", ["whole", "small"])
@pytest.mark.parametrize("seed", range(20))
def test_a_record_that_lost_an_opening_quote_is_not_taken_by_its_first_line(
    seed: int, blocks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes before the line end and after it, as long as the rest is shorter than a record."""
    rng = random.Random(seed)
    if blocks == "small":
        monkeypatch.setattr(stream, "BLOCK", rng.randint(1, 60))
    for _ in range(20):
        records, lines = written(rng, 8)
        damaged = rng.randrange(1, 8)
        begins = rng.choice(("text", "with, comma", 'say "hi"', ""))
        ends = rng.choice(("more", 'so "it" is', "a\n\nb", "x" * 99))
        records[damaged] = [f"r{damaged}", rng.choice(("", "plain", 'q"q')), f"{begins}\n{ends}"]
        if rng.random() < 0.4:
            records[damaged] = [records[damaged][place] for place in (0, 2, 1)]
        text = io.StringIO(newline="")
        quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        csv.writer(text, quoting=quoting, lineterminator="\n").writerow(records[damaged])
        line = text.getvalue().encode()
        lost = opening_quote(line, records[damaged])
        assert line[lost : lost + 1] == b'"', (line, lost)
        lines[damaged] = line[:lost] + line[lost + 1 :]
        content = b"id,name,note\n" + b"".join(lines)
        originals = [
            {name: cell(text) for name, text in zip(("id", "name", "note"), record, strict=True) if cell(text)}
            for record in records
        ]
        taken = values(content)
        assert [row for row in taken if row not in originals or row["id"] == f"r{damaged}"] == [], content
        assert taken[0]["id"] == "r0" or damaged == 1


def test_what_ends_with_a_quote_and_is_no_rest_of_a_cell_costs_nothing() -> None:
    inches = b'id,name,note\na,Ann,12"\nb,Bob,5" pipe\nc,12",3"\n'
    assert [row["id"] for row in values(inches)] == ["a", "b", "c"]
    own_fault = b'id,name,note\na,Ann,fine\nb,with, comma",x\nc,Cleo,fine\n'
    assert [row["id"] for row in values(own_fault)] == ["a", "c"]
    below = b'id,name,note\na,Ann,fine\nb,Bob\n\nand so on"\n'
    assert reasons(below) == [
        (2, "cut off: a line below closes a quote that none has opened"),
        (3, "has 2 fields, the header has 3"), (5, "has 1 fields, the header has 3"),
    ]  # fmt: skip


@pytest.mark.parametrize("part", [b'"', b'""', b"a,", b'x"', b'""x,', b"\n", b'\n"', b"a,b,c\nd\n", b'a,b,""\n'])
def test_what_follows_a_record_costs_no_more_than_its_length(part: bytes) -> None:
    def seconds(size: int) -> float:
        content = b"id,name,note\na,Ann,fine\nb," + part * size + b"\nc,Cleo,fine\n"
        return min(timeit.repeat(lambda: planned(content), number=1, repeat=2))

    seconds(100)
    assert seconds(40_000) < 0.3 + 16 * seconds(5_000)


def cell(text: str) -> str:
    return text.strip(" \t\r\n\v\f")


@pytest.mark.parametrize("seed", range(40))
def test_a_quote_that_lost_its_partner_makes_no_record_of_two(seed: int) -> None:
    """Every record that is taken is one of the originals, and every other is in the lines of a reject."""
    rng = random.Random(seed)
    for _ in range(25):
        records, lines = written(rng, 12)
        # of one line: what else a broken record of several lines holds is read line by line
        damaged = rng.choice([place for place, line in enumerate(lines) if line.count(b"\n") == 1])
        quotes = closing_quotes(lines[damaged])
        if quotes:
            lost = rng.choice(quotes)
            lines[damaged] = lines[damaged][:lost] + lines[damaged][lost + 1 :]
        content = b"id,name,note\n" + b"".join(lines)
        originals = [
            {name: cell(text) for name, text in zip(("id", "name", "note"), record, strict=True) if cell(text)}
            for record in records
        ]
        taken = values(content)
        assert [row for row in taken if row not in originals] == [], content
        assert [row["id"] for row in taken] == sorted((row["id"] for row in taken), key=lambda name: int(name[1:]))
        _, batches = planned(content)
        rejected = b"".join(
            content[batch.reject.offset : batch.end] for batch in batches if batch.reject and batch.reject.offset
        )
        missing = [row for row in originals if row not in taken]
        for row in missing:
            name = row["id"].encode()
            assert any(
                start + name + b"," in rejected or start + b'"' + name + b'"' in rejected for start in (b"", b"\n")
            ), content
