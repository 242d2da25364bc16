"""The judge of what was taken of mutated records: Postgres itself, and the declared rule where that goes further.

Of each record that was taken the line *as it came* is cut into texts by other means (Python's csv and json). Postgres
has the say on every text: a value must be what it makes of the text. Where it refuses the text or reads it in another
way, the value must be what a rule says that we declare (`17850.0` as an id, `1.234,5`, `eur`, a given date format).
And each value must lie within what its field allows.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from functools import partial
from io import BytesIO
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.json import set_json_loads

from penstock.ingest.files.load.staging import column_names, copy_records, open_copy_session
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.dialect import sniff
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.parse.slow_path import KEPT
from penstock.ingest.files.parse.types import (
    BLANKS,
    Boolean,
    Choice,
    Code,
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
from penstock.ingest.files.planning import make_plan
from tests.integration.ingest.files.mutants import ISO, Variant

Texts = Sequence["str | None"]


class _Digits(str):
    """A JSON number as it was written."""


class _Nested(str):
    """A JSON object or list, written anew."""


def judge_all(connection: psycopg.Connection[Any], content: bytes, variant: Variant) -> tuple[int, int]:
    """Read, load and compare; gives how many were taken and refused. Raises AssertionError on any difference."""
    file = BytesIO(variant.header + content)
    options = Options.read(
        {
            "format": variant.format,
            "delimiter": variant.delimiter,
            "decimal": variant.decimal,
            "rows": [{"column": "id", "empty": False}] if variant.computed else [],
            "fields": {"note": {"columns": ["note"]}} if variant.computed else {},
            "dates": {} if variant.dates == ISO else {"at": variant.dates},
        }
    )
    dialect = sniff(file, options)
    plan = make_plan(variant.target, dialect, options)
    pieces = list(read_batches(file, plan, dialect.body, dialect.first_line))
    _check_places(pieces, dialect.body)
    texts = []
    for piece in pieces:
        if piece.records:
            read = list(_texts(piece, plan))
            assert len(read) == piece.records, f"{piece.origin!r} was read as {piece.records} records"
            texts += read
    with connection.transaction(force_rollback=True):
        if variant.format == "jsonl":
            _check_json(connection, [piece.origin for piece in pieces if piece.records and piece.origin])
        _compare(connection, plan, pieces, texts)
    return len(texts), sum(piece.reject is not None for piece in pieces)


def _check_places(pieces: list[ParsedBatch], body: int) -> None:
    """No byte of the file is passed over between two pieces, and no line number goes back."""
    ends = [body, *(piece.end for piece in pieces)]
    assert ends == sorted(ends)
    for piece, start in zip(pieces, ends, strict=False):
        if piece.reject:
            assert piece.reject.offset == start
        assert piece.next_line >= piece.line


def _texts(piece: ParsedBatch, plan: Plan) -> Iterator[Texts]:
    """What stands in the file, one text for each column."""
    # carriage returns before a line's end belong to it
    data = piece.data if piece.origin is None else piece.origin.rstrip(b"\r\n")
    assert piece.origin is None or len(piece.origin) < KEPT, "the origin is whole"
    if plan.is_table:
        content = io.StringIO(data.decode(), newline="")
        yield from csv.reader(content, delimiter=plan.dialect.delimiter, strict=True)
        return
    line = data.decode("utf-8-sig").strip(f"{BLANKS},")
    record = json.loads(line, parse_int=_Digits, parse_float=_Digits, object_pairs_hook=_unique)
    plain = json.loads(line, parse_float=Decimal)
    yield [_member(record, plain, str(column.field)) for column in plan.columns]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key that stands twice must be refused: nobody knows which one counts"
    return dict(pairs)


def _member(record: dict[str, Any], plain: dict[str, Any], name: str) -> str | None:
    """The value under a key that is the field's name but for case, blanks and punctuation; the first that is one."""
    for key, value in record.items():
        if re.sub(r"[\W_]+", "", key).casefold() == name and value is not None:
            if isinstance(value, bool):
                return "true" if value else "false"
            return value if isinstance(value, str) else _Nested(json.dumps(plain[key], default=_as_number))
    return None


def _as_number(value: Decimal) -> float:
    """Only ever a part of a JSON object, whose numbers must be doubles already."""
    assert Decimal(repr(float(value))) == value, f"{value} is no double"
    return float(value)


def _check_json(connection: psycopg.Connection[Any], lines: list[bytes]) -> None:
    texts = [line.decode("utf-8-sig").strip(f"{BLANKS},") for line in lines]
    refused = connection.execute(
        "select line from unnest(%s::text[]) as line where not pg_input_is_valid(line, 'jsonb') limit 1", (texts,)
    ).fetchone()
    assert refused is None, f"taken, but no JSON to Postgres: {refused}"


def _compare(
    connection: psycopg.Connection[Any], plan: Plan, pieces: list[ParsedBatch], texts: Sequence[Texts]
) -> None:
    set_json_loads(partial(json.loads, parse_float=Decimal), connection)
    columns = list(zip(column_names(plan), (column.field_type for column in plan.columns), strict=True))
    open_copy_session(connection, "Europe/Paris", plan.date_style)
    _load(connection, plan, pieces, len(texts))
    _load_texts(connection, [name for name, _ in columns], texts)
    asked = sql.SQL(", ").join(_verdict(name, kind, direct=plan.is_direct) for name, kind in columns)
    rows = connection.execute(
        sql.SQL("select {} from fuzz as v join fuzz_texts as t using (ord) order by ord").format(asked)
    ).fetchall()
    assert len(rows) == len(texts)
    for given, row in zip(texts, rows, strict=True):
        for place, (name, kind) in enumerate(columns):
            text, value, agrees = given[place], row[2 * place], row[2 * place + 1]
            text = text if isinstance(text, (_Digits, _Nested)) else text.strip(BLANKS) if text else None
            said = f"{name}: {text!r} was read as {value!r}, Postgres says {agrees}"
            # what a decimal comma means is ours alone to say: Postgres would take the point for one
            agrees = agrees and not (isinstance(kind, Number) and kind.comma and text)
            assert agrees or _is_declared(kind, text or None, value), said
            assert value is None or _lies_within(kind, value), said


def _load(connection: psycopg.Connection[Any], plan: Plan, pieces: list[ParsedBatch], number: int) -> None:
    kinds = [column.field_type.column_type if plan.is_direct else column.field_type.sql_type for column in plan.columns]
    names = column_names(plan)
    columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, kinds, strict=True))
    connection.execute(f"create temporary table fuzz (ord bigint generated always as identity, {columns})")
    copied = copy_records(connection, sql.Identifier("fuzz"), names, plan, [piece.data for piece in pieces])
    assert copied == number


def _load_texts(connection: psycopg.Connection[Any], names: list[str], texts: Sequence[Texts]) -> None:
    columns = ", ".join(f"{name} text" for name in names)
    connection.execute(f"create temporary table fuzz_texts (ord bigint generated always as identity, {columns})")
    copied = f"copy fuzz_texts ({', '.join(names)}) from stdin"
    with connection.cursor() as cursor, cursor.copy(copied) as copy:
        for record in texts:
            copy.write_row([(text or "").strip(BLANKS) or None for text in record])


def _verdict(name: str, kind: FieldType, *, direct: bool) -> sql.Composed:
    """The value, and whether Postgres reads the text so: null where it refuses the text."""
    value = f"v.{name}" if direct else kind.sql(f"v.{name}")
    agrees = f"""case when t.{name} is null then ({value}) is null
      when pg_input_is_valid(t.{name}, '{kind.sql_type}')
      then coalesce(t.{name}::{kind.sql_type} = ({value}), false) end"""
    return sql.SQL("{}, {}").format(sql.SQL(value), sql.SQL(agrees))


def _is_declared(kind: FieldType, text: str | None, value: Any) -> bool:
    """Whether a rule of ours, told in the docs, makes this value of a text that Postgres reads in another way."""
    if text is None or value is None:
        return False
    if isinstance(kind, Identifier) and (whole := re.fullmatch(r"([0-9]+)\.0+", text)):
        return bool(value == whole[1])
    if isinstance(text, _Digits) and isinstance(kind, Text | Integer | Boolean):
        return Decimal(value) == Decimal(text)  # a JSON number keeps its value, not its way of writing
    if isinstance(text, _Nested):  # as JSON, in whatever spacing
        return isinstance(kind, Text) and bool(json.loads(value) == json.loads(text))
    if isinstance(kind, Integer):
        return bool(re.fullmatch(r"[+-]?[0-9]+\.0+", text)) and value == int(text.partition(".")[0])
    if isinstance(kind, Number):
        return bool(value == _money(text, ",." if kind.comma else ".,"))
    if isinstance(kind, Code):
        return bool(value == text.upper())
    if isinstance(kind, Timestamp) and kind.format:
        # the session's zone: shown as it was written
        said = datetime.strptime(text, kind.format)  # noqa: DTZ007
        return bool(value.replace(tzinfo=None) == said)
    return False


def _money(text: str, marks: str) -> Decimal | None:
    """Cut by another pattern than ours: sign, currency, groups of three by one mark, decimal sign; or None."""
    decimal, group = map(re.escape, marks)
    digits = rf"(?:[0-9]+|[0-9]{{1,3}}(?P<mark>[{group}'’\u00a0\u202f])[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*)"
    number = rf"(?P<sign>[+-]?)(?:[$£€] ?)?(?P<digits>{digits}(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:e(?P<e>[0-9]))?"
    match = re.fullmatch(rf"{number} ?(?P<after>[$£€]?)", text, re.IGNORECASE)
    brackets = re.fullmatch(rf"\({number}\)", text)
    match = match or (brackets if brackets and not brackets["sign"] else None)
    if match is None:
        return None
    plain = re.sub(rf"[^0-9{decimal}]", "", match["digits"]).replace(marks[0], ".")
    value = Decimal(f"{plain}e{match['e'] or 0}")
    return -value if brackets or match["sign"] == "-" else value


def _lies_within(kind: FieldType, value: Any) -> bool:
    if isinstance(kind, Integer):
        return type(value) is int and kind.at_least <= value <= kind.at_most
    if isinstance(kind, Number):
        places = -int(value.as_tuple().exponent)
        sign = value > 0 if kind.positive else kind.signed or value >= 0
        return bool(sign) and places <= kind.places and abs(value) < 10**kind.digits
    if isinstance(kind, Identifier):
        return _is_text(kind, value) and not re.fullmatch(r"[0-9]+\.0+", value)
    if isinstance(kind, Text):
        return _is_text(kind, value)
    if isinstance(kind, Email):
        return len(value) <= kind.at_most and bool(re.fullmatch(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+", value))
    if isinstance(kind, Choice):
        return value in kind.values
    if isinstance(kind, Code):
        return bool(re.fullmatch(r"[A-Z]{3}", value))
    return isinstance(value, {Boolean: bool, Timestamp: datetime, Json: dict}[type(kind)])


def _is_text(kind: Text, value: str) -> bool:
    return 0 < len(value) <= kind.at_most and value == value.strip(BLANKS) and "\x00" not in value
