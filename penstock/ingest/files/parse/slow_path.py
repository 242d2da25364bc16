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
from penstock.ingest.files.parse.types import BLANKS, InvalidValue
from penstock.ingest.files.plan import Column, Plan

KEPT = 8192


@dataclass(frozen=True)
class RejectedRecord:
    """A line that is left out: `line` and `offset` of its first byte, and the line as it came.

    `skipped` is no fault: a rule says that the line is none of those wanted. `key` is what the line and others have in
    common (an order's id), as far as it could be read.
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
        self._one_of = () if plan.is_table else plan.target.one_of
        self._check = None if plan.is_table else plan.target.check
        self._fixed: dict[str, str | None] = {**plan.defaults, **plan.constants}
        self._encoding = plan.dialect.encoding
        delimiter = plan.dialect.delimiter.encode()
        self._delimiter = delimiter
        self._line_end = plan.dialect.line_end.encode()
        comma = re.escape(plan.dialect.delimiter)
        self._field = re.compile(rf'(?:"((?:[^"]|"")*+)"|([^{comma}]*+))({comma}|$)', re.DOTALL)

    def parse(self, suspect: SuspectRecord) -> bytes | RejectedRecord | None:
        """The record for COPY, or why not; None for a blank line, which is not a record."""
        data = suspect.data.rstrip(b"\r\n") if self._line_end != b"\r" else suspect.data.removesuffix(b"\r")
        if not data.strip():
            return None
        try:
            if suspect.fault:
                raise InvalidValue(suspect.fault)
            return self.write(self._cells(self._text(data)))
        except _FieldRefused as error:
            return self._reject(suspect, data, str(error), error.field)
        except InvalidValue as error:
            return self._reject(suspect, data, str(error))

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
                raise _FieldRefused(" or ".join(choice), "missing")

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
                raise InvalidValue("text after a closing quote")
            cells.append(_unquoted(match))
            place = match.end()
            if not match[3]:
                break
        if len(cells) != len(self._columns):
            raise InvalidValue(f"has {len(cells)} fields, the header has {len(self._columns)}")
        return cells

    @staticmethod
    def _reject(suspect: SuspectRecord, data: bytes, reason: str, field: str | None = None) -> RejectedRecord:
        content = data[:KEPT].replace(ERROR_MARK.encode(), b"")
        return RejectedRecord(suspect.line, suspect.offset, field, reason, content)


class _FieldRefused(InvalidValue):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def _read(column: Column, cell: str | None) -> str | None:
    if cell is None or not cell.strip(BLANKS):
        if column.required:
            raise _FieldRefused(column.field or column.name, "missing")
        return None
    if cell.startswith(ERROR_MARK):
        if column.field:
            raise _FieldRefused(column.field, f"the cell holds the error {sheet_error(cell)}")
        return None
    try:
        return column.field_type.read(cell)
    except InvalidValue as error:
        raise _FieldRefused(column.field or column.name, str(error)) from error


def _unquoted(match: re.Match[str]) -> str | None:
    quoted, bare = match[1], match[2]
    if quoted is not None:
        return quoted.replace('""', '"')
    if "\r" in bare or "\n" in bare:
        raise InvalidValue("a line end outside quotes")
    return bare


def _quoted(value: str | None) -> bytes:
    return b"" if not value else b'"' + value.replace('"', '""').encode() + b'"'
