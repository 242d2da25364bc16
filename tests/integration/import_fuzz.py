"""Mutated records through both lanes and Postgres, and an oracle that reads them by other means.

A record that is taken must be one that Postgres takes, and every value must be what the oracle (Python's csv, Decimal
and datetime) reads. Records are mutated by bytes and by fields, with the characters that break importers.
"""

import csv
import io
import random
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from io import BytesIO
from typing import Any

import psycopg
from psycopg import sql

from penstock.imports.formats import detect
from penstock.imports.kinds import Boolean, Choice, Code, Email, Identifier, Integer, Kind, Number, Text, Timestamp
from penstock.imports.options import Options
from penstock.imports.plan import Plan, make_plan
from penstock.imports.reading import read_pieces
from penstock.imports.staging import column_names, copy_records, open_copy_session
from penstock.imports.target import Field, Table, Target

FIELDS = (
    Field("id", Identifier(64), True),
    Field("mail", Email(), True),
    Field("quantity", Integer(1, 1_000_000), True),
    Field("delta", Integer(-(2**31), 2**31 - 1), False),
    Field("big", Integer(0, 2**63 - 1), False),
    Field("price", Number(10, 2, positive=True), True),
    Field("rate", Number(6, 4, signed=True), False),
    Field("currency", Code(3), True),
    Field("status", Choice(("open", "shut", "half-open")), True),
    Field("fine", Boolean(), False),
    Field("at", Timestamp(), True),
    Field("note", Text(40), False),
)
TARGET = Target("fuzz", FIELDS, Table("pg_temp.fuzz", ("id",)))
ISO = "%Y-%m-%d %H:%M:%S"
HEADER = ",".join(item.name for item in FIELDS).encode()

NASTY = [
    b"", b"\x00", b'"', b'""', b"'", b",", b";", b"\t", b"\r", b"\r\n", b"\n", b"\\", b"\\.", b"\\N", b"NULL", b" ",
    b"\xc3", b"\xe9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x80\xa8", b"\xc2\xa0", b"\xc2\x85",
    b"\xef\xbb\xbf", b"\x1a", b"\x0b", b"\x0c", b"\x7f", b"-", b"+", b"=", b"@", b".", b"..", b"0", b"00", b"-0",
    b"1e5", b"1E400", b"NaN", b"Infinity", b"-1", b"+5", b"1_000", b"0x1f", b"1,000", b"17850.0", b"9" * 30,
    "٣".encode(), "½".encode(), "é".encode(), "e\u0301".encode(), "😀".encode(), b"true", b"TRUE", b"t", b"2025-02-30",
    b"2024-02-29", b"2023-02-29", b"2000-02-29", b"1900-02-29", b"24:00:00", b"23:59:60", b"2025-1-1", b"Z", b"+14:00",
    b"+15:59", b"-00:00", b"now", b"today", b"infinity", b"epoch", b"0000-01-01", b"BC", b"2025-06-01T10:00",
    b"2025-06-01 10:00:00.123456", b"2025-06-01 10:00:00.1234567", b"20250601", b"01/02/2025", b"2147483647",

    b"2147483648", b"31/12/2025 1:02", b"29/02/2025 00:00", b"12.31.2025", b"1/1/25", b"31/4/2025",
    b"-2147483648", b"-2147483649", b"9223372036854775807", b"9223372036854775808", b"0.001", b"1.005",
]  # fmt: skip


def mutated_records(rng: random.Random, number: int, dates: str = ISO) -> Iterator[bytes]:
    for place in range(number):
        record = _record(rng, place, dates)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            record = rng.choice((_mutate_bytes, _mutate_field, _mutate_field))(rng, record)
        yield record + rng.choice((b"\n",) * 40 + (b"\r\n", b"\r", b""))


def _record(rng: random.Random, place: int, dates: str) -> bytes:
    moment = datetime(2025, rng.randrange(1, 13), rng.randrange(1, 29), 12, 30)  # noqa: DTZ001
    fields = [
        f"id-{place}", f"a{place}@example.com", str(rng.randrange(1, 1_000_000)), str(rng.randrange(-(2**31), 2**31)),
        str(rng.randrange(0, 2**40)), f"{rng.randrange(1, 10**6) / 100:.2f}", f"-{rng.random():.4f}", "EUR",
        "half-open",
        rng.choice(("true", "f", "1", "")), moment.strftime(dates),
        rng.choice(("", "plain", '"quoted, text"', '"say ""hi"""', '"two\nlines"', "größe", '"ends "')),
    ]  # fmt: skip
    return ",".join(f'"{item}"' if rng.random() < 0.05 and '"' not in item else item for item in fields).encode()


def _mutate_bytes(rng: random.Random, record: bytes) -> bytes:
    place = rng.randrange(len(record) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return record[:place] + rng.choice(NASTY) + record[place:]
    if kind == 1:
        return record[:place] + record[place + rng.randrange(1, 4) :]
    if kind == 2:
        return record[:place] + bytes([rng.randrange(256)]) + record[place + 1 :]
    return record[:place] + record[place : place + rng.randrange(1, 20)] * 2 + record[place:]


def _mutate_field(rng: random.Random, record: bytes) -> bytes:
    fields = record.split(b",")
    place = rng.randrange(len(fields))
    value = rng.choice(NASTY) if rng.random() < 0.7 else fields[rng.randrange(len(fields))]
    kind = rng.randrange(5)
    fields[place] = [
        value, fields[place] + value, value + fields[place], b'"' + value + b'"', b'"' + fields[place] + value + b'"',
    ][kind]  # fmt: skip
    return b",".join(fields)


def judge_all(connection: psycopg.Connection[Any], content: bytes, dates: str = ISO) -> tuple[int, int]:
    """Read, load and compare; gives how many were taken and refused. Raises AssertionError on any difference."""
    file = BytesIO(HEADER + b"\n" + content)
    options = Options.read({"format": "csv", "delimiter": ",", "dates": {} if dates == ISO else {"at": dates}})
    layout = detect(file, options)
    plan = make_plan(TARGET, layout, options)
    pieces = list(read_pieces(file, plan, layout.body, layout.first_line))
    taken = b"".join(piece.data for piece in pieces)
    number = sum(piece.records for piece in pieces)
    _check_places(pieces, layout.body)
    rows = _load(connection, plan, taken, number)
    expected = list(csv.reader(io.StringIO(taken.decode(), newline=""), strict=True))
    assert len(expected) == number == len(rows)
    for given, got in zip(expected, rows, strict=True):
        for item, text, value in zip(FIELDS, given, got, strict=True):
            assert _reads(item.kind, text, value, dates), f"{item.name}: {text!r} was read as {value!r}"
    return number, sum(piece.reject is not None for piece in pieces)


def _check_places(pieces: list[Any], body: int) -> None:
    """No byte of the file is passed over between two pieces, and no line number goes back."""
    ends = [body, *(piece.end for piece in pieces)]
    assert ends == sorted(ends)
    for piece, start in zip(pieces, ends, strict=False):
        if piece.reject:
            assert piece.reject.offset == start
        assert piece.next_line >= piece.line


def _load(connection: psycopg.Connection[Any], plan: Plan, taken: bytes, number: int) -> list[Any]:
    columns = ", ".join(f"{item.name} {item.kind.column_type}" for item in FIELDS)
    with connection.transaction(force_rollback=True):
        connection.execute(f"create temporary table fuzz (ord bigint generated always as identity, {columns})")
        open_copy_session(connection, "Europe/Paris", plan.date_style)
        copied = copy_records(connection, sql.Identifier("fuzz"), column_names(plan), plan, [taken])
        assert copied == number
        names = ", ".join(item.name for item in FIELDS)
        return connection.execute(f"select {names} from fuzz order by ord").fetchall()


def _reads(kind: Kind, text: str, value: object, dates: str) -> bool:
    """Whether the value is what the text says, read by other means."""
    if text == "":
        return value is None
    if isinstance(kind, Integer):
        return bool(re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII)) and value == int(text) and _within(kind, int(text))
    if isinstance(kind, Number):
        places = len(text.partition(".")[2])
        return value == Decimal(text) and places <= kind.places and (not kind.positive or Decimal(text) > 0)
    if isinstance(kind, Boolean):
        return value == (text in {"true", "t", "yes", "1"})
    if isinstance(kind, Timestamp):
        return isinstance(value, datetime) and _is_moment(text, value, dates)
    if isinstance(kind, Text):
        fits = len(text) <= kind.at_most and text == text.strip(" \t\r\n\v\f") and "\x00" not in text
        return value == text and fits and not (isinstance(kind, Identifier) and re.fullmatch(r"[0-9]+\.0+", text))
    if isinstance(kind, Choice):
        return value == text and text in kind.values
    if isinstance(kind, Email):
        return value == text and text.count("@") >= 1 and " " not in text
    return value == text and bool(re.fullmatch(r"[A-Z]{3}", text))


def _within(kind: Integer, number: int) -> bool:
    return kind.at_least <= number <= kind.at_most


def _is_moment(text: str, value: datetime, dates: str) -> bool:
    try:
        said = datetime.fromisoformat(text)
    except ValueError:
        said = datetime.strptime(text, dates)  # noqa: DTZ007
    if said.tzinfo is None:
        return value.replace(tzinfo=None) == said  # the session's zone: shown as it was written
    return said.astimezone(UTC) == value.astimezone(UTC)
