"""What a file's columns and rejected lines suggest: what is left out in silence, what failed as a whole, and why.

Shown as `warnings` in the result of an import and in a dry run. Each names the option that helps, where there is one.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from penstock.ingest.files.meanings import TIME_ZONE, meaning_of, words_of
from penstock.ingest.files.parse.computed import ComputedRecords
from penstock.ingest.files.parse.fast_path import SuspectRecord
from penstock.ingest.files.parse.jsonl import Records
from penstock.ingest.files.parse.slow_path import RecordParser
from penstock.ingest.files.parse.types import Choice, FieldType, InvalidValue, Number, Timestamp, is_iso
from penstock.ingest.files.plan import Column, Plan
from penstock.ingest.files.target import folded

SAMPLE: Final = 200
"""So many of the rejected lines are looked at."""
WHOLE: Final = 0.9
"""A column of which such a share of the lines failed has failed as a whole."""
WORDS: Final = 12
"""So many words that a field does not know are named."""
_DATES: Final = (
    *(
        written.replace("/", sign)
        for written in ("%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d/%m/%y", "%m/%d/%y", "%d/%b/%Y", "%d/%b/%y")
        for sign in "/-. "
    ),
    *("%Y%m%d", "%d %B %Y", "%B %d, %Y", "%b %d, %Y"),
)
_CLOCKS: Final = ("", " %H:%M", " %H:%M:%S", "T%H:%M:%S", " %I:%M %p", " %I:%M:%S %p")


@dataclass(frozen=True)
class Fault:
    """A rejected line, as far as it is kept."""

    field: str | None
    reason: str
    content: bytes


def column_warnings(plan: Plan, mapping: Mapping[str, str | None]) -> list[str]:
    """Columns, or keys of JSON records, that are left out though they look like something.

    Not those that `mapping` leaves out on purpose, nor those by which rows are filtered.
    """
    times = [each for each in plan.columns if isinstance(each.field_type, Timestamp)]
    filtered = {wanted["column"] for wanted in plan.rows}
    found = []
    for column in plan.unused:
        if column in mapping or column in filtered:
            continue
        meaning = meaning_of(column)
        if meaning is None:
            continue
        what, helps = meaning, f'--map "{column}=FIELD" reads it'
        if meaning == TIME_ZONE:
            helps = "--zone NAME says it"
        elif apart := _date_apart(words_of(column), times):
            what = f"the time of day of {apart!r}, which is read without it"
        found.append(
            f"{'column' if plan.is_table else 'key'} {column!r} is left out, and looks like {what}:"
            f' {helps}, --map "{column}=" leaves it out on purpose'
        )
    return found


def _date_apart(name: str, times: Sequence[Column]) -> str | None:
    """The column with the date whose time of day is in the column of that name."""
    if "date" in name or "zone" in name or not re.search(r"time|hour|clock", name):
        return None
    return next((column.name for column in times if "time" not in folded(column.name)), None)


def reject_warnings(plan: Plan, faults: Sequence[Fault], rejected: int, wanted: int) -> list[str]:
    """What the rejected lines have in common; `faults` are the first of `rejected` among `wanted` lines."""
    if not faults:
        return []
    counted = Counter(fault.field for fault in faults)
    found = []
    for field, number in counted.most_common(3):
        lines = round(rejected * number / len(faults))
        is_whole = lines >= WHOLE * wanted
        of_field = [fault for fault in faults if fault.field == field]
        if field is None:
            text = _of_lines(plan, of_field, is_whole)
        else:
            text = _of_field(plan, field, of_field, lines, is_whole)
        found += [text] if text else []
    return found


def _of_lines(plan: Plan, faults: Sequence[Fault], is_whole: bool) -> str | None:
    if any("is not UTF-8" in fault.reason for fault in faults):
        return "lines are not UTF-8: a file from Windows is read with --encoding windows-1252"
    if is_whole and plan.is_table and all(" fields, the header has " in fault.reason for fault in faults):
        return (
            f"no line has as many fields as the header ({faults[0].reason}): is {plan.dialect.delimiter!r} the"
            " delimiter? --delimiter CHARACTER says another"
        )
    return None


def _of_field(plan: Plan, field: str, faults: Sequence[Fault], lines: int, is_whole: bool) -> str | None:
    column = next((column for column in plan.columns if column.field == field), None)
    if column is None:
        return None
    values = [value for value in _values(plan, column, faults) if value]
    if values and isinstance(column.field_type, Choice):
        return _of_words(plan, column.field_type, field, values)
    option, over_http = _option(plan, column, values) if values else (None, "")
    example = f", such as {values[0][:60]!r}" if values else ""
    if is_whole:
        helps = f"{option} reads it{over_http}" if option else f'is it another field? --map "{column.name}=FIELD"'
        return f"the whole column {column.name!r} failed as {field} ({faults[0].reason}{example}): {helps}"
    if option:
        return (
            f"column {column.name!r} is written in two ways: {lines} values{example}, need {option}, and the others"
            f" do not; in a file of their own those lines are read{over_http}"
        )
    return None


def _of_words(plan: Plan, choice: Choice, field: str, values: Sequence[str]) -> str:
    """Words that nobody has explained, with the option that does."""
    column = next((name for name, found in plan.fields_of_columns.items() if found == field), field)
    words = {word[:60]: "…" for word in dict.fromkeys(values)}
    shown = dict(list(words.items())[:WORDS])
    more = f" and {len(words) - WORDS} more" if len(words) > WORDS else ""
    table = json.dumps({"column": column, "values": shown}, ensure_ascii=False)
    return (
        f"column {column!r} has words that {field} does not know: {', '.join(map(repr, shown))}{more}."
        f" --field '{field}={table}' says which of {', '.join(choice.values[:12])} each of them means,"
        " beside those known"
    )


def _values(plan: Plan, column: Column, faults: Sequence[Fault]) -> Iterator[str]:
    parser = RecordParser(plan)
    place = plan.columns.index(column)
    for fault in faults:
        content = fault.content.decode("utf-8", "replace").encode()
        suspect = SuspectRecord(content, 0, 0, 1, len(content))
        with suppress(InvalidValue):
            if plan.is_computed:
                computed = ComputedRecords(plan, parser)
                value = computed.text(str(column.field), computed.row(suspect, content))
            elif plan.is_table:
                value = parser.cells(suspect, content)[place]
            else:
                value = Records(plan, parser).cells(content)[place]
            yield (value or "").strip()


def _option(plan: Plan, column: Column, values: Sequence[str]) -> tuple[str | None, str]:
    """The option with which nearly all of the values are read, and how it is said over HTTP where that differs."""
    field_type = column.field_type
    if isinstance(field_type, Timestamp):
        formats = [written for written in _date_formats(values) if _reads(replace(field_type, format=written), values)]
        if field_type.format and all(map(is_iso, values)):
            return f"no --date {column.field}", ""
        if not formats:
            return None, ""
        said = " or ".join(f'--date "{column.field}={written}"' for written in formats[:2])
        return said, f' (over HTTP: dates={{"{column.field}": "{formats[0]}"}})'
    if isinstance(field_type, Number) and _reads(replace(field_type, comma=not field_type.comma), values):
        return ("--decimal point" if field_type.comma else "--decimal comma"), ""
    return None, ""


def _date_formats(values: Sequence[str]) -> Iterator[str]:
    colons = Counter(value.count(":") for value in values).most_common(1)[0][0]
    clocks = [clock for clock in _CLOCKS if clock.count(":") == colons]
    return (day + clock for day in _DATES for clock in clocks)


def _reads(field_type: FieldType, values: Sequence[str]) -> bool:
    return sum(_is_read(field_type, value) for value in values) >= WHOLE * len(values)


def _is_read(field_type: FieldType, value: str) -> bool:
    try:
        field_type.read(value)
    except InvalidValue:
        return False
    return True
