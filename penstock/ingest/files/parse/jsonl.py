"""JSON Lines and JSON arrays as suspect records: one object each, found by the name of its field.

A number keeps its value to the last digit, true and false become texts, null is missing, an object or a list is
handed on as JSON. Refused like anywhere else: NaN, NUL, repeated keys, half surrogate pairs.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.fast_path import Splitter, SuspectRecord, build_patterns
from penstock.ingest.files.parse.json_items import ArrayItems
from penstock.ingest.files.parse.slow_path import RecordParser, RejectedRecord
from penstock.ingest.files.parse.types import InvalidValue
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import folded

# every line is one record, and none is good without being looked at
_LINES = build_patterns((), b"\0", b"\n", quote=b"")


def suspect_records(content: Iterable[bytes], dialect: Dialect, offset: int, line: int) -> Iterator[SuspectRecord]:
    """Yield every record with its place."""
    if dialect.format == "jsonl":
        for parsed in Splitter(_LINES, offset, line).split(content):
            assert isinstance(parsed, SuspectRecord), "the pattern for good records matches nothing"
            yield parsed
    else:
        yield from ArrayItems(offset, line).split(content)


def bare(suspect: SuspectRecord) -> bytes:
    """The record without what separates it from others; nothing of a blank line."""
    return suspect.data.strip(b" \t\r\n,")


def names_taken(plan: Plan) -> dict[str, int]:
    """The place of the column that takes a key, by the key's folded name."""
    names: dict[str, int] = {}
    for place, column in enumerate(plan.columns):
        item = plan.target.by_name[str(column.field)]
        for name in (item.name, *item.synonyms):
            names.setdefault(folded(name), place)
    for key, field in plan.keys.items():
        place = next(i for i, column in enumerate(plan.columns) if column.field == field)
        names = {name: at for name, at in names.items() if at != place} | {folded(key): place}
    return names


class Records:
    """Parses JSON records of one plan."""

    def __init__(self, plan: Plan, parse: RecordParser) -> None:
        self._parser = parse
        self._names = names_taken(plan)
        self._width = len(plan.columns)

    def parse(self, suspect: SuspectRecord) -> bytes | RejectedRecord | None:
        data = bare(suspect)
        if not data:
            return None
        cells: list[str | None] = []
        try:
            if suspect.fault:
                raise InvalidValue(suspect.fault)
            cells = self.cells(data)
            return self._parser.write(cells)
        except InvalidValue as error:
            return self._parser.reject(suspect, data, cells, error)

    def cells(self, data: bytes) -> list[str | None]:
        """A value for each column; raises `InvalidValue` if it is not a JSON object."""
        record = read_object(data)
        cells: list[str | None] = [None] * self._width
        for key, value in record.items():
            place = self._names.get(folded(key))
            if place is not None and cells[place] is None:
                cells[place] = _text(value)
        return cells


def read_object(data: bytes) -> dict[str, Any]:
    """Raises `InvalidValue` for what is not a JSON object."""
    record = _read(data)
    if not isinstance(record, dict):
        raise InvalidValue("not a JSON object")
    return record


def read_array(data: bytes, width: int) -> list[Any]:
    """Raises `InvalidValue` for what is not a JSON array with a value for each column."""
    record = _read(data)
    if not isinstance(record, list):
        raise InvalidValue("not a JSON array")
    if len(record) != width:
        raise InvalidValue(f"has {len(record)} values, the header has {width}")
    return record


def _read(data: bytes) -> Any:
    try:
        return json_codec.loads(data, field="record")
    except InvalidInput as error:
        raise InvalidValue(str(error).removeprefix("record: ")) from error


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(value) if isinstance(value, int) else json_codec.dumps(value)
