"""How a column writes its dates, when it is not ISO 8601: found out from the whole column, or refused as ambiguous.

`1/12/2010` is the first of December or the twelfth of January. One value that can be read in one way only decides for
the column; without one nothing is guessed.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import BinaryIO

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.fast_path import RecordBatch, Splitter, build_patterns
from penstock.ingest.files.parse.joins import Lookup
from penstock.ingest.files.parse.reader import read_texts
from penstock.ingest.files.parse.stream import blocks
from penstock.ingest.files.parse.types import BLANKS, Timestamp, is_iso
from penstock.ingest.files.plan import IGNORED, Column, Plan

GLANCE = 1000
_SHAPE = re.compile(r"(\d{1,4})([/.-])(\d{1,2})\2(\d{1,4})(?:([ T])\d{1,2}:\d{2}(:\d{2})?( ?[AaPp][Mm])?)?", re.ASCII)


def infer_date_formats(file: BinaryIO, plan: Plan, *, most: int | None = None, lookup: Lookup | None = None) -> Plan:
    """The plan with a format for each time column that needs one; raises `InvalidInput` where it is ambiguous.

    `most`: so many values of a column are asked, not all of them. `lookup` finds the records of joined files.
    """
    if not plan.is_table:
        return plan
    dates = dict(plan.dates)
    for place, column in enumerate(plan.columns):
        name = column.field
        if name and isinstance(column.field_type, Timestamp) and name not in dates:

            def values(name: str = name, place: int = place) -> Iterator[str]:
                return read_texts(file, plan, name, lookup) if plan.is_computed else _values(file, plan, place)

            if any(not is_iso(value) for value in islice(values(), GLANCE)):
                found = _format_of(column.name, islice(values(), most))
                dates |= {name: found} if found else {}
    return replace(plan, dates=dates)


def _values(file: BinaryIO, plan: Plan, place: int) -> Iterator[str]:
    """The cells of one column that hold anything, in order; broken lines are passed over."""
    dialect = plan.dialect
    content = blocks(
        file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom, offset=dialect.body
    )
    return (cell for row in read_rows(content, dialect) if (cell := row[place].strip(BLANKS)))


def read_rows(content: Iterable[bytes], dialect: Dialect) -> Iterator[list[str]]:
    """The rows of a table as their cells' texts, from the first record on; broken lines are passed over."""
    shapes = [Column(name, None, IGNORED, required=False, exact=False) for name in dialect.header]
    quote, delimiter, line_end = (text.encode() for text in (dialect.quote, dialect.delimiter, dialect.line_end))
    patterns = build_patterns(shapes, delimiter, line_end, quote, escape=dialect.escape)
    for parsed in Splitter(patterns, dialect.body, dialect.first_line).split(content):
        if not isinstance(parsed, RecordBatch) and parsed.fault:
            continue
        text = io.StringIO(parsed.data.decode("utf-8", "replace").replace("\0", ""), newline="")
        for row in csv.reader(
            text,
            delimiter=dialect.delimiter,
            quotechar=dialect.quote or None,
            quoting=csv.QUOTE_MINIMAL if dialect.quote else csv.QUOTE_NONE,
            escapechar="\\" if dialect.escape else None,
        ):
            if len(row) == len(shapes):
                yield row


def _format_of(column: str, values: Iterator[str]) -> str | None:
    """The strptime format of the column, or None when its values are not dates in digits."""
    shapes: Counter[tuple[str, str, str]] = Counter()
    first_most = second_most = 0
    example = ""
    for value in values:
        match = _SHAPE.fullmatch(value)
        if match is None or len(match[4]) != 4 or len(match[1]) > 2:
            continue
        first_most, second_most = max(first_most, int(match[1])), max(second_most, int(match[3]))
        example = example or value
        shapes[(match[2], match[5] or "", f"{'s' if match[6] else ''}{match[7] or ''}")] += 1
    if not shapes:
        return None
    order = _order(column, first_most, second_most, example)
    separator, gap, clock = shapes.most_common(1)[0][0]
    return order.replace("/", separator) + _clock(gap, clock)


def _order(column: str, first_most: int, second_most: int, example: str) -> str:
    if first_most > 12 and second_most > 12:
        raise InvalidInput(
            f"column {column!r} mixes day/month and month/day: say how its times are written,"
            ' --date FIELD=FORMAT (over HTTP: dates={"FIELD": "FORMAT"}), in a file of their own each',
            field="dates",
        )
    if first_most <= 12 and second_most <= 12:
        raise InvalidInput(
            f"column {column!r} is ambiguous: {example} may be day/month or month/day, and no value of the column"
            " decides it; say --date FIELD=%d/%m/%Y or --date FIELD=%m/%d/%Y"
            ' (over HTTP: dates={"FIELD": "%d/%m/%Y"})',
            field="dates",
        )
    return "%d/%m/%Y" if first_most > 12 else "%m/%d/%Y"


def _clock(gap: str, clock: str) -> str:
    if not gap:
        return ""
    seconds = ":%S" if clock.startswith("s") else ""
    half = clock.removeprefix("s")
    return f"{gap}%I:%M{seconds}{' ' if half.startswith(' ') else ''}%p" if half else f"{gap}%H:%M{seconds}"
