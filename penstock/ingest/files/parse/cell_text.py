"""Rows of cells as the text of a CSV file, which is then read like any other.

Lines end with a carriage return: the line ends within cells, made line feeds, are then not counted as lines, and the
line of a record is its row in the sheet. An error of the sheet, such as #N/A, is marked with characters that no file
has, so that the record is refused where the column is wanted.
"""

import re
from collections.abc import Sequence
from decimal import Decimal
from math import isfinite
from typing import Final

LINE_END: Final = "\r"
ERROR_MARK: Final = "\\\ufdd0"
"""The backslash takes the record out of the fast path; the other character is none that may be exchanged."""
_TO_QUOTE: Final = re.compile('[,"\n]')
_CARRIAGE_RETURNS: Final = re.compile("\r\n?")


def csv_line(cells: Sequence[str]) -> str:
    """One record with its end. A row without anything is a blank line, which is not a record."""
    return ",".join(map(_written, cells)) + LINE_END if any(cells) else LINE_END


def number_text(number: float) -> str:
    """The fewest digits that mean this number, without an exponent; an error when it is none."""
    if not isfinite(number):
        return ERROR_MARK + ("not a number" if number != number else "infinite")
    return str(int(number)) if abs(number) < 2**53 and number.is_integer() else format(Decimal(repr(number)), "f")


def sheet_error(cell: str) -> str:
    """The error that the cell holds in the sheet."""
    return cell.removeprefix(ERROR_MARK)


def _written(cell: str) -> str:
    if "\r" in cell:
        cell = _CARRIAGE_RETURNS.sub("\n", cell)
    return '"' + cell.replace('"', '""') + '"' if _TO_QUOTE.search(cell) else cell
