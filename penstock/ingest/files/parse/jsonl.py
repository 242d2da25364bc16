"""JSON Lines and JSON arrays as suspect records: one object each, found by the name of its field.

A number keeps its value to the last digit, true and false become texts, null is missing, an object or a list is
handed on as JSON. Refused like anywhere else: NaN, NUL, repeated keys, half surrogate pairs.
"""

import re
from collections.abc import Iterable, Iterator
from decimal import Decimal

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.parse.fast_path import MAX_RECORD, RecordPatterns, Splitter, SuspectRecord
from penstock.ingest.files.parse.slow_path import RecordParser, RejectedRecord
from penstock.ingest.files.parse.stream import BadFile
from penstock.ingest.files.parse.types import InvalidValue
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import folded

_LINES = RecordPatterns(
    good=re.compile(b""), whole=re.compile(rb"[^\n]*+\n"), broken=re.compile(rb"(?!)"), line_end=b"\n"
)
_STRING = rb'"(?:[^"\\]|\\.)*+"'
_SCALAR = re.compile(rb"(?:" + _STRING + rb'|[^,\]"])++(?=[,\]])', re.DOTALL)
_FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|' + _STRING + rb")*+\}", re.DOTALL)
_TOKEN = re.compile(rb'[^"{}\[\]]++|' + _STRING + rb"|[{}\[\]]", re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*+")


def suspect_records(content: Iterable[bytes], plan: Plan, offset: int, line: int) -> Iterator[SuspectRecord]:
    """Yield every record with its place."""
    if plan.dialect.format == "jsonl":
        for parsed in Splitter(_LINES, offset, line).split(content):
            assert isinstance(parsed, SuspectRecord), "the pattern for good records matches nothing"
            yield parsed
    else:
        yield from _ArrayItems(offset, line).split(content)


class Records:
    """Parses JSON records of one plan."""

    def __init__(self, plan: Plan, parse: RecordParser) -> None:
        self._parser = parse
        self._names: dict[str, int] = {}
        for place, column in enumerate(plan.columns):
            item = plan.target.by_name[str(column.field)]
            for name in (item.name, *item.synonyms):
                self._names.setdefault(folded(name), place)
        for key, field in plan.keys.items():
            place = next(i for i, column in enumerate(plan.columns) if column.field == field)
            self._names = {name: at for name, at in self._names.items() if at != place} | {folded(key): place}
        self._width = len(plan.columns)

    def parse(self, suspect: SuspectRecord) -> bytes | RejectedRecord | None:
        data = suspect.data.strip(b" \t\r\n,")
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
        try:
            record = json_codec.loads(data, field="record")
        except InvalidInput as error:
            raise InvalidValue(str(error).removeprefix("record: ")) from error
        if not isinstance(record, dict):
            raise InvalidValue("not a JSON object")
        cells: list[str | None] = [None] * self._width
        for key, value in record.items():
            place = self._names.get(folded(key))
            if place is not None and cells[place] is None:
                cells[place] = _text(value)
        return cells


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(value) if isinstance(value, int) else json_codec.dumps(value)


class _ArrayItems:
    """Cuts a JSON array into its items by counting brackets outside strings."""

    def __init__(self, offset: int, line: int) -> None:
        self._offset = offset
        self._line = line
        self._begun = offset > 0
        self._closed = False
        self._buffer = b""
        self._place = 0

    def split(self, content: Iterable[bytes]) -> Iterator[SuspectRecord]:
        for block in content:
            self._buffer = self._buffer[self._place :] + block
            self._place = 0
            yield from self._items()
            if len(self._buffer) - self._place > MAX_RECORD:
                raise BadFile(f"an item of more than {MAX_RECORD} bytes at byte {self._offset}", field="file")
        if not self._closed:
            raise BadFile(f"the JSON array is not closed; it breaks off after byte {self._offset}", field="file")

    def _items(self) -> Iterator[SuspectRecord]:
        if not self._begun and (start := self._buffer.find(b"[")) >= 0:
            self._begun = True
            self._pass(start + 1)
        while self._begun:
            self._pass(_end(_BETWEEN.match(self._buffer, self._place)) - self._place)
            if self._place == len(self._buffer):
                return
            if self._closed:
                raise BadFile(f"text after the end of the JSON array at byte {self._offset}", field="file")
            if self._buffer.startswith(b"]", self._place):
                self._closed = True
                self._pass(1)
                continue
            end = _item_end(self._buffer, self._place)
            if end is None:
                return
            data = self._buffer[self._place : end]
            suspect = SuspectRecord(data, self._offset, self._line, data.count(b"\n"), len(data))
            self._pass(len(data))
            yield suspect

    def _pass(self, size: int) -> None:
        self._line += self._buffer.count(b"\n", self._place, self._place + size)
        self._offset += size
        self._place += size


def _item_end(data: bytes, start: int) -> int | None:
    """Where the item that begins at `start` ends, or None if that is not in sight."""
    if flat := _FLAT.match(data, start):
        return flat.end()
    if data[start : start + 1] not in (b"{", b"["):
        match = _SCALAR.match(data, start)
        return match.end() if match else None
    depth, place = 0, start
    while match := _TOKEN.match(data, place):
        place = match.end()
        token = match.group()
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        if depth == 0:
            return place
    return None


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None, "a pattern that may match nothing always matches"
    return match.end()
