"""The rows of one sheet of a workbook as texts, in the order of the sheet, in bounded memory.

A formula is the value that was saved with it, a date is ISO 8601, a number has the digits of its value and no
exponent, an error such as #N/A is marked (`cell_text`). Of merged cells only the first has a value.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Final

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.cell_text import ERROR_MARK, csv_line, number_text
from penstock.ingest.files.parse.stream import BadFile, Meter
from penstock.ingest.files.parse.workbook import MAX_TEXT, Sheet, Workbook, XmlStream, unescaped, written_time

MAX_ROWS: Final = 1_048_576
MAX_CELLS: Final = 1000
"""Of a row. What is beyond counts as one cell more, so that the row is refused."""
WIDTH_ROWS: Final = 100
"""As wide as the widest of the first rows is the table: a row leaves out the empty cells at its end."""
AT_ONCE: Final = 64 << 10
_LETTERS: Final = re.compile("[A-Z]{1,3}")
_WHOLE: Final = re.compile(r"-?[0-9]{1,400}", re.ASCII)


def choose_sheet(workbook: Workbook, wanted: str | None) -> Sheet:
    """The sheet of that name or number (from 1), or the only one that shows anything; raises `InvalidInput`."""
    if wanted is not None:
        return _sheet_called(workbook, wanted)
    shown = [sheet for sheet in workbook.sheets if not sheet.is_hidden and _has_content(workbook, sheet)]
    if len(shown) == 1:
        return shown[0]
    if shown:
        raise InvalidInput(
            f"the workbook has several sheets: say which one, {_listed(shown)}",
            field="sheet",
            sheets=[sheet.name for sheet in shown],
        )
    hidden = [sheet for sheet in workbook.sheets if sheet.is_hidden]
    raise BadFile(
        f"no sheet that is shown has anything in it{f'; hidden: {_listed(hidden)}' if hidden else ''}", field="file"
    )


def csv_text(workbook: Workbook, sheet: Sheet, meter: Meter) -> Iterator[bytes]:
    """Yield the sheet as CSV, some rows at a time: row n is line n."""
    rows = sheet_rows(workbook, sheet, meter)
    first = list(islice(rows, WIDTH_ROWS))
    width = max((len(cells) for _, cells in first), default=0)
    line, parts, size = 1, [], 0
    for number, cells in chain(first, rows):
        if number > line:
            parts.append(csv_line(()) * (number - line))
        parts.append(csv_line(cells if len(cells) >= width else [*cells, *[""] * (width - len(cells))]))
        line = number + 1
        size += len(parts[-1])
        if size >= AT_ONCE:
            yield _encoded(parts)
            parts, size = [], 0
    yield _encoded(parts)


def _encoded(parts: Sequence[str]) -> bytes:
    return "".join(parts).encode("utf-8", "surrogatepass")


def sheet_rows(workbook: Workbook, sheet: Sheet, meter: Meter | None = None) -> Iterator[tuple[int, Sequence[str]]]:
    """Yield (row number, cells) of the rows that hold anything, up to their last cell that does."""
    parser = _Rows(workbook)
    for _ in parser.feed(workbook.archive, sheet.part, meter=meter):
        yield from parser.rows
        parser.rows.clear()


def _has_content(workbook: Workbook, sheet: Sheet) -> bool:
    return next(sheet_rows(workbook, sheet), None) is not None


def _sheet_called(workbook: Workbook, wanted: str) -> Sheet:
    by_name = {sheet.name.casefold(): sheet for sheet in reversed(workbook.sheets)}
    if sheet := by_name.get(wanted.casefold()):
        return sheet
    if wanted.isascii() and wanted.isdigit() and 1 <= int(wanted[:6]) <= len(workbook.sheets):
        return workbook.sheets[int(wanted) - 1]
    raise InvalidInput(f"the workbook has no sheet {wanted[:80]!r}; it has {_listed(workbook.sheets)}", field="sheet")


def _listed(sheets: Sequence[Sheet]) -> str:
    return ", ".join(repr(sheet.name[:60]) for sheet in sheets[:20]) + (" …" if len(sheets) > 20 else "")


class _Rows(XmlStream):
    def __init__(self, workbook: Workbook) -> None:
        super().__init__()
        self._strings = workbook.strings
        self._times = workbook.times
        self._uses_1904 = workbook.uses_1904
        self.rows: list[tuple[int, Sequence[str]]] = []
        self._row = 0
        self._cells: list[str] = []
        self._column = -1
        self._type = self._style = ""
        self._parts: list[str] = []
        self._size = 0
        self._is_value = self._is_sound = False
        self._columns: dict[str, int] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name == "v" or (name == "t" and not self._is_sound):
            self._is_value = True
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "rPh":
            self._is_sound = True

    def end(self, name: str) -> None:
        if name in ("v", "t"):
            self._is_value = False
        elif name == "c":
            self._end_cell()
        elif name == "row":
            if self._cells:
                self.rows.append((self._row, self._cells))
        elif name == "rPh":
            self._is_sound = False

    def text(self, text: str) -> None:
        if self._is_value:
            self._size += len(text)
            if self._size > MAX_TEXT:
                raise BadFile(f"row {self._row} has a cell of more than {MAX_TEXT} characters", field="file")
            self._parts.append(text)

    def _begin_row(self, number: str | None) -> None:
        row = int(number) if number and number.isascii() and number.isdigit() and len(number) < 9 else self._row + 1
        if not self._row < row <= MAX_ROWS:
            raise BadFile(f"the sheet's row {row} comes after row {self._row}, or is beyond {MAX_ROWS}", field="file")
        self._row, self._column, self._cells = row, -1, []

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        letters = attributes.get("r", "").rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            column = self._column_of(letters)
        if column <= self._column:
            raise BadFile(f"the cells of row {self._row} are not in order", field="file")
        self._column = column
        self._type, self._style = attributes.get("t", "n"), attributes.get("s", "")
        self._parts, self._size = [], 0

    def _column_of(self, letters: str) -> int:
        if not letters:
            return self._column + 1
        if not _LETTERS.fullmatch(letters):
            raise BadFile(f"row {self._row} has a cell at {letters[:20]!r}", field="file")
        column = -1
        for letter in letters:
            column = (column + 1) * 26 + ord(letter) - ord("A")
        self._columns[letters] = column
        return column

    def _end_cell(self) -> None:
        if not self._parts or not (value := self._value("".join(self._parts))):
            return
        cells, place = self._cells, self._column
        if place > len(cells):
            place = min(place, MAX_CELLS)
            cells.extend([""] * (place - len(cells)))
        if len(cells) <= MAX_CELLS:
            cells.append(value)

    def _value(self, text: str) -> str:
        type_ = self._type
        if type_ == "s":
            return self._shared(text)
        if type_ == "n":
            return self._number(text.strip())
        if type_ == "b":
            return "true" if text.strip() in ("1", "true") else "false"
        if type_ == "e":
            return ERROR_MARK + text.strip()
        return text if type_ == "d" else unescaped(text)

    def _shared(self, text: str) -> str:
        try:
            number = int(text)
            return self._strings[number] if number >= 0 else self._strings[len(self._strings)]
        except (ValueError, IndexError):
            raise BadFile(f"row {self._row} refers to a text that the workbook does not have", field="file") from None

    def _number(self, text: str) -> str:
        """The value's digits; a whole number, however long, as it is written."""
        type_ = self._times.get(self._style)
        if type_ is None and _WHOLE.fullmatch(text):
            return text
        try:
            number = float(text) if len(text) <= 400 else float("nan")
        except ValueError:
            number = float("nan")
        if type_ and (time := written_time(number, type_, uses_1904=self._uses_1904)):
            return time
        return number_text(number)
