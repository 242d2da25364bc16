"""What a hostile record costs: no more than its length, for every kind of field, however it is written.

A pattern that can match one text in two ways tries 2ⁿ ways on a record of n such fields that is wrong at its end.
"""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from penstock.ingest.files.parse import types
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.fast_path import Splitter, SuspectRecord, build_patterns
from penstock.ingest.files.parse.slow_path import RecordParser
from penstock.ingest.files.parse.types import (
    Boolean,
    Choice,
    Code,
    Day,
    Email,
    FieldType,
    Identifier,
    Integer,
    Json,
    Number,
    Text,
    Timestamp,
)
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import Field, Table, Target, register, unregister

KINDS: list[tuple[FieldType, bytes]] = [
    (Text(100), b"a note"),
    (Text(1 << 20), b"a note"),
    (Identifier(64), b"17850"),
    (Identifier(64, unwanted=("CA", "not a sale")), b"536365"),
    (Email(), b"ann@mail.example.org"),
    (Integer(), b"-12"),
    (Integer(1, 1_000_000), b"12"),
    (Number(), b"2.50"),
    (Number(positive=True), b"0.50"),
    (Number(comma=True), b"2,50"),
    (Choice(("a", "ab", "a b")), b"a b"),
    (Code(), b"EUR"),
    (Timestamp(), b"2010-12-01T08:26:00.123456+01:00"),
    (Timestamp("%d/%m/%Y %H:%M", "DMY"), b"11/12/2010 08:26"),
    (Day(), b"2010-12-01"),
    (Day("%d.%m.%Y", "DMY"), b"11.12.2010"),
    (Boolean(), b"true"),
    (Json(), b"{}"),
]
FEW, MANY = 11, 22
GROWTH = 100
"""Twice the columns cost about twice the time; at 2ⁿ they would cost 2,048 times."""
SMALL, LARGE = 2_000, 32_000
GROWTH_OF_SIZE = 80
"""Sixteen times the bytes; what grows with the square would cost 256 times."""


def written(value: bytes) -> Iterator[bytes]:
    yield from (value, b'"' + value + b'"', b'"' + value + b'""x"', b'"' + value + b' "', b'""', b"", b'""""', b'"\n"')


def broken_ends(cell: bytes) -> Iterator[bytes]:
    yield from (b"x\n", b'"\n', b",\n", b'x"\n', b" \n", b'"x\n', b'""\n', b"\\\n", b"\xff\n", b"\x00\n")


def plan_of(kind: FieldType, columns: int, delimiter: str = ",") -> Plan:
    names = tuple(f"f{number}" for number in range(columns))
    register(Target("hostile", tuple(Field(name, kind) for name in names), Table("public.hostile", ("f0",))))
    dialect = Dialect(False, "utf-8", 0, "csv", delimiter, header=names)
    plan = Plan("hostile", dialect, names, {}, {}, {}, ".", None, {})
    assert len(plan.columns) == columns, "read while the target is the one just registered"
    return plan


def cost(plan: Plan, content: bytes, rounds: int) -> float:
    """The least CPU time of a few rounds through both paths."""
    patterns, judge = build_patterns(plan.columns, plan.dialect.delimiter.encode(), b"\n"), RecordParser(plan)
    return min(_measured(lambda: _read(Splitter(patterns, 0, 1), judge, content)) for _ in range(rounds))


def _read(splitter: Splitter, judge: RecordParser, content: bytes) -> None:
    for piece in splitter.split([content]):
        if isinstance(piece, SuspectRecord):
            judge.parse(piece)


def _measured(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.fixture(autouse=True)
def hostile() -> Iterator[None]:
    yield
    unregister("hostile")


def test_every_kind_is_tried() -> None:
    known = {kind for kind in vars(types).values() if isinstance(kind, type) and issubclass(kind, FieldType)} - {
        FieldType
    }
    assert {type(kind) for kind, _ in KINDS} == known


@pytest.mark.parametrize("delimiter", [",", ":"])
@pytest.mark.parametrize(("kind", "value"), KINDS, ids=repr)
def test_a_wrong_record_costs_no_more_than_its_columns(kind: FieldType, value: bytes, delimiter: str) -> None:
    few, many = plan_of(kind, FEW, delimiter), plan_of(kind, MANY, delimiter)
    for cell in written(value):
        for end in broken_ends(cell):
            cheap, dear = (delimiter.encode().join([cell] * n) + end for n in (FEW, MANY))
            assert cost(many, dear, 2) < GROWTH * cost(few, cheap, 3), (cell, end)


@pytest.mark.parametrize(
    "unit",
    [b"a", b"0", b'"', b'""', b'""a', b" ", b"\r", b",", b'",', b',"', b'\n"', b'"\n', b'""\n', b"a@a.", b"\xff"],
)
@pytest.mark.parametrize(("kind", "value"), KINDS, ids=repr)
def test_a_long_record_costs_no_more_than_its_length(kind: FieldType, value: bytes, unit: bytes) -> None:
    plan = plan_of(kind, 3)
    for start in (b"", b'"', value + b',"', value + b","):
        small, large = (start + unit * (size // len(unit)) + b"\n" for size in (SMALL, LARGE))
        assert cost(plan, large, 2) < GROWTH_OF_SIZE * cost(plan, small, 3), start


@pytest.mark.parametrize(("kind", "value"), KINDS, ids=repr)
def test_a_bare_value_does_not_reach_over_a_delimiter(kind: FieldType, value: bytes) -> None:
    for delimiter in (delimiter for delimiter in ",;|\t: /@!" if delimiter.encode() in value):
        patterns = build_patterns(plan_of(kind, 1, delimiter).columns, delimiter.encode(), b"\n")
        found = patterns.good.match(value + b"\n")
        assert found is not None
        assert found.end() == 0, delimiter


@pytest.mark.parametrize(("order", "written"), [("DMY", "%d/%m/%Y"), ("MDY", "%m/%d/%Y"), (None, "%Y-%m-%d")])
@pytest.mark.parametrize("days", [2, 62, 400])
def test_days_of_this_year_take_the_fast_lane_unless_they_are_of_this_month(
    order: str | None, written: str, days: int
) -> None:
    day = datetime.now(UTC).date() - timedelta(days=days)
    field = Timestamp(written if order else None, order, of_event=True)
    is_fast = bool(re.fullmatch(field.core, day.strftime(written).encode()))
    assert is_fast or days == 2
    assert not re.fullmatch(field.core, (day + timedelta(days=days + 30)).strftime(written).encode())
