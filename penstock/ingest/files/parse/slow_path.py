"""The slow path: one record at a time, with the reason when it is refused.

What it accepts leaves as a CSV record whose every value is in quotes, so that COPY reads it back to the letter
(a quoted `\\.` is text in every version of Postgres).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from penstock.ingest.files.parse.cell_text import ERROR_MARK, sheet_error
from penstock.ingest.files.parse.fast_path import SuspectRecord
from penstock.ingest.files.parse.types import BLANKS, InvalidValue, UnwantedValue
from penstock.ingest.files.plan import Column, Plan
from penstock.ingest.files.target import EventMapping

KEPT = 8192
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "0": "\0"}
_ESCAPED = re.compile(r"\\(.)|([\"'`])\2", re.DOTALL)


@dataclass(frozen=True)
class RejectedRecord:
    """A line that is left out: `line` and `offset` of its first byte, and the line as it came.

    `skipped` is not a fault: a rule says that the line is none of those wanted. `key` is what the line and others have
    in common (an order's id), as far as it could be read; not certain where separators are lost or too many.
    """

    line: int
    offset: int | None
    field: str | None
    reason: str
    content: bytes
    outcome: Literal["rejected", "skipped"] = "rejected"
    key: str | None = None
    key_is_certain: bool = True


class RecordParser:
    """Parses single records of one plan."""

    def __init__(self, plan: Plan) -> None:
        self._columns: Sequence[Column] = plan.columns
        self._width = len(plan.dialect.header)
        self._one_of = () if plan.is_table else plan.target.one_of
        self._check = plan.target.check
        self._fixed: dict[str, str | None] = {**plan.defaults, **plan.constants}
        self._key_column = _key_column(plan)
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
        cells: list[str | None] = []
        try:
            cells = self._split(suspect, data)
            self._check_width(cells)
            return self.write(cells)
        except InvalidValue as error:
            return self.reject(suspect, data, cells, error)

    def content(self, suspect: SuspectRecord) -> bytes:
        """The record without its line end."""
        return suspect.data.rstrip(b"\r\n") if self._line_end != b"\r" else suspect.data.removesuffix(b"\r")

    def cells(self, suspect: SuspectRecord, data: bytes) -> list[str | None]:
        """What the record has for each column of the file; raises `InvalidValue` where its framing is wrong."""
        cells = self._split(suspect, data)
        self._check_width(cells)
        return cells

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

    def _split(self, suspect: SuspectRecord, data: bytes) -> list[str | None]:
        if suspect.fault:
            raise InvalidValue(suspect.fault)
        text = self._text(data)
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
        return cells

    def _check_width(self, cells: Sequence[str | None]) -> None:
        if len(cells) != self._width:
            raise InvalidValue(f"has {len(cells)} fields, the header has {self._width}")

    def _unquoted(self, match: re.Match[str]) -> str | None:
        quoted, bare = match[1], match[2]
        if self._escape:
            return _unescaped(quoted, bare, self._quote)
        if quoted is not None:
            return quoted.replace(self._quote * 2, self._quote)
        if "\r" in bare or "\n" in bare:
            raise InvalidValue("a line end outside quotes")
        return bare

    def reject(
        self, suspect: SuspectRecord, data: bytes, cells: Sequence[str | None], error: InvalidValue
    ) -> RejectedRecord:
        """The record that is left out because of `error`; one that is unwanted is so whatever else is wrong with it.

        `cells` has what could be read for each of the columns that are handed to COPY, or is empty.
        """
        whole = len(cells) == len(self._columns)
        unwanted = self._unwanted(cells) if whole else None
        cause = unwanted or error
        return RejectedRecord(
            suspect.line,
            suspect.offset,
            getattr(cause, "field", None),
            str(cause),
            data[:KEPT].replace(ERROR_MARK.encode(), b""),
            "skipped" if unwanted else "rejected",
            self._key(cells),
            whole,
        )

    def _unwanted(self, cells: Sequence[str | None]) -> "FieldRefused | None":
        for column, cell in zip(self._columns, cells, strict=True):
            try:
                _read(column, cell)
            except FieldRefused as error:
                if isinstance(error.__cause__, UnwantedValue):
                    return error
        return None

    def _key(self, cells: Sequence[str | None]) -> str | None:
        """What the record has in common with others, read as far as it can be."""
        if self._key_column is None or self._key_column >= len(cells):
            return None
        try:
            return _read(self._columns[self._key_column], cells[self._key_column])
        except InvalidValue:
            return None


class FieldRefused(InvalidValue):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _key_column(plan: Plan) -> int | None:
    """The place of the column that names what a record belongs to."""
    into = plan.target.into
    if not isinstance(into, EventMapping) or not into.holds:
        return None
    return next((place for place, column in enumerate(plan.columns) if column.field == into.by), None)


def _read(column: Column, cell: str | None) -> str | None:
    if cell is None or not cell.strip(BLANKS):
        if column.required:
            raise FieldRefused(column.field or column.name, "missing")
        return None
    if cell.startswith(ERROR_MARK):
        if column.field:
            raise FieldRefused(column.field, f"the cell holds the error {sheet_error(cell)}")
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
