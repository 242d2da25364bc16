"""The slow path: one record at a time, with the reason when it is refused.

What it accepts leaves as a CSV record whose every value is in quotes, so that COPY reads it back to the letter
(a quoted `\\.` is text in every version of Postgres).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.ingest.files.parse.fast_path import SuspectRecord
from penstock.ingest.files.parse.types import BLANKS, InvalidValue
from penstock.ingest.files.plan import Column, Plan

KEPT = 8192
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_ESCAPED = re.compile(r"\\(.)|([\"'`])\2", re.DOTALL)


@dataclass(frozen=True)
class RejectedRecord:
    """A line that is left out: `line` and `offset` of its first byte, and the line as it came.

    `skipped` is not a fault: a rule says that the line is none of those wanted. `key` is what the line and others have
    in common (an order's id), as far as it could be read.
    """

    line: int
    offset: int | None
    field: str | None
    reason: str
    content: bytes
    outcome: Literal["rejected", "skipped"] = "rejected"
    key: str | None = None


class RecordParser:
    """Parses single records of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._columns: Sequence[Column] = plan.columns
        self._width = len(plan.dialect.header)
        self._one_of = () if plan.is_table else plan.target.one_of
        self._check = None if plan.is_table and not plan.is_computed else plan.target.check
        self._fixed: dict[str, str | None] = {**plan.defaults, **plan.constants}
        self._encoding = plan.dialect.encoding
        delimiter = plan.dialect.delimiter.encode()
        self._delimiter = delimiter
        self._line_end = plan.dialect.line_end.encode()
        self._quote = plan.dialect.quote
        self._escape = plan.dialect.escape
        self._field = _cell_pattern(re.escape(plan.dialect.delimiter), re.escape(self._quote), escape=self._escape)

    def parse(self, suspect: SuspectRecord) -> bytes | RejectedRecord | None:
        """The record for COPY, or why not; None for a blank line, which is not a record."""
        data = self.content(suspect)
        if not data.strip():
            return None
        try:
            return self.write(self.cells(suspect, data))
        except InvalidValue as error:
            return rejected(suspect, data, error)

    def content(self, suspect: SuspectRecord) -> bytes:
        """The record without its line end."""
        return suspect.data.rstrip(b"\r\n") if self._line_end != b"\r" else suspect.data.removesuffix(b"\r")

    def cells(self, suspect: SuspectRecord, data: bytes) -> list[str | None]:
        """What the record has for each column of the file; raises `InvalidValue` where its framing is wrong."""
        if suspect.fault:
            raise InvalidValue(suspect.fault)
        return self._cells(self._text(data))

    def write(self, cells: Sequence[str | None]) -> bytes:
        """Check one value for each column and write the record."""
        self._check_choices(cells)
        values = [_read(column, cell) for column, cell in zip(self._columns, cells, strict=True)]
        self._check_together(values)
        return self._delimiter.join(map(_quoted, values)) + self._line_end

    def _check_together(self, values: Sequence[str | None]) -> None:
        if self._check is None:
            return
        named = {column.field: value for column, value in zip(self._columns, values, strict=True) if column.field}
        try:
            self._check(self._fixed | named)
        except ValueError as error:
            raise InvalidValue(str(error)) from error

    def _check_choices(self, cells: Sequence[str | None]) -> None:
        """Of a group of fields a record needs one; of a table's columns the header decides that."""
        given = {column.field for column, cell in zip(self._columns, cells, strict=True) if cell}
        for choice in self._one_of:
            if not given.intersection(choice):
                raise FieldRefused(" or ".join(choice), "missing")

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError as error:
            byte = data[error.start]
            where = f"byte {error.start + 1} of the line"
            if self._encoding == "utf-8":
                raise InvalidValue(f"{where} (0x{byte:02X}) is not UTF-8") from error
            raise InvalidValue(f"{where} is not {self._encoding}") from error

    def _cells(self, text: str) -> list[str | None]:
        if "\x00" in text:
            raise InvalidValue("has a NUL character, which Postgres cannot store")
        cells: list[str | None] = []
        place = 0
        while True:
            match = self._field.match(text, place)
            if match is None:
                fault = "a backslash at its end" if text.endswith("\\") else "text after a closing quote"
                raise InvalidValue(fault)
            cells.append(self._unquoted(match))
            place = match.end()
            if not match[3]:
                break
        if len(cells) != self._width:
            raise InvalidValue(f"has {len(cells)} fields, the header has {self._width}")
        return cells

    def _unquoted(self, match: re.Match[str]) -> str | None:
        quoted, bare = match[1], match[2]
        if self._escape:
            return _unescaped(quoted, bare, self._quote)
        if quoted is not None:
            return quoted.replace(self._quote * 2, self._quote)
        if "\r" in bare or "\n" in bare:
            raise InvalidValue("a line end outside quotes")
        return bare


def rejected(suspect: SuspectRecord, data: bytes, error: InvalidValue) -> RejectedRecord:
    return RejectedRecord(suspect.line, suspect.offset, getattr(error, "field", None), str(error), data[:KEPT])


class FieldRefused(InvalidValue):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _read(column: Column, cell: str | None) -> str | None:
    if cell is None or not cell.strip(BLANKS):
        if column.required:
            raise FieldRefused(column.field or column.name, "missing")
        return None
    try:
        return column.field_type.read(cell)
    except InvalidValue as error:
        raise FieldRefused(column.field or column.name, str(error)) from error


def _cell_pattern(delimiter: str, quote: str, *, escape: bool) -> re.Pattern[str]:
    """A cell and what ends it; the first group is the text in quotes, the second that without."""
    escaped = r"\\.|" if escape else ""
    backslash = r"\\" if escape else ""
    quoted = rf"{quote}((?:{escaped}[^{quote}{backslash}]|{quote}{quote})*+){quote}" if quote else "((?!))"
    return re.compile(rf"(?:{quoted}|((?:{escaped}[^{delimiter}{backslash}])*+))({delimiter}|$)", re.DOTALL)


def _unescaped(quoted: str | None, bare: str | None, quote: str) -> str | None:
    """Text in which a backslash takes what follows; a bare `\\N` is nothing."""
    if bare == "\\N":
        return None
    if quoted is None and re.search(r"[\r\n]", _ESCAPED.sub("", bare or "")):
        raise InvalidValue("a line end outside quotes")

    def plain(match: re.Match[str]) -> str:
        if match[1]:
            return _ESCAPES.get(match[1], match[1])
        return quote if quoted is not None and match[2] == quote else match[0]

    return _ESCAPED.sub(plain, (bare or "") if quoted is None else quoted)


def _quoted(value: str | None) -> bytes:
    return b"" if not value else b'"' + value.replace('"', '""').encode() + b'"'
