"""How records are framed: which bytes belong to one record, and where the next one begins.

A quote that has lost its partner opens a cell that another record's quote seems to close; all between would be one
cell. Such a record is not believed: the quotes of a well-formed record come in pairs, so in two records of which one
lacks a quote another is out of place (`strict` does not match). Only where the second record has several lines of its
own can the first of them complete the pairs; the quote that seems to close then opens a cell in truth, so a delimiter
or a line end comes before it (`seam`).

A cell of several lines that has lost its opening quote leaves its first line as a record of its own, cut off, where
that has the right number of cells. The rest of the cell follows it, up to the closing quote, in lines that have too
few (`left_over`).
"""

import re
from dataclasses import dataclass
from functools import cached_property

_NEVER = re.compile(rb"(?!)")


@dataclass(frozen=True)
class Framing:
    """Patterns for one dialect. `quote` is empty where nothing is quoted; `escape`: a backslash takes what follows."""

    delimiter: bytes
    line_end: bytes
    quote: bytes = b'"'
    escape: bool = False
    width: int = 0  # how many cells a record has, where that is known

    @property
    def mark(self) -> bytes:
        """The byte by which lines are counted."""
        return self.line_end[-1:]

    @cached_property
    def whole(self) -> re.Pattern[bytes]:
        """A record with its line end, whatever quotes its bare cells hold."""
        return self._record(self._framed)

    @cached_property
    def strict(self) -> re.Pattern[bytes]:
        """A record of which no quote is out of place."""
        return self._record(rb"(?:" + self._closed + rb"|" + self._run(self._quote) + rb")")

    @cached_property
    def broken(self) -> re.Pattern[bytes]:
        """The beginning of a record that has text after a closing quote."""
        if not self.quote:
            return _NEVER
        outside = self._quote + self._outside
        junk = rb"(?:[^\r" + outside + rb"]|\r[^\n])" if self.mark == b"\n" else rb"[^" + outside + rb"]"
        return re.compile(rb"(?:" + self._framed + re.escape(self.delimiter) + rb")*+" + self._closed + junk)

    def seam(self, record: bytes) -> bytes:
        """The delimiter or mark right before the quote that closes a cell of several lines, if there is such a cell."""
        for match in self._cells.finditer(record):
            cell = (match[1] or b"").rstrip(self.quote)
            if self.mark in cell and cell.endswith((self.delimiter, self.mark)):
                return cell[-1:]
        return b""

    @property
    def looks_ahead(self) -> bool:
        """Whether `is_left_over` can say anything."""
        return self.width > 1 and bool(self.quote) and not self.escape

    def may_be_cut_off(self, record: bytes) -> bool:
        """Whether a record of as many cells as it should have, the last not in quotes, may be the beginning of one."""
        text = record.rstrip(b"\r\n")
        first = self._first_cell.match(text)
        assert first is not None, "it may match nothing"
        others = self._next_cell.findall(text, first.end())
        return len(others) == self.width - 1 and not others[-1].startswith(self.quote, len(self.delimiter))

    def is_left_over(self, buffer: bytes, place: int) -> bool | None:
        """Whether a cell ends at `place` or below that must have begun before it; None where the end is not in sight.

        Lines of too few cells, the last of them with a quote that closes and none that opens. Looks at 100 lines.
        """
        short = self._short_lines.match(buffer, place)
        assert short is not None, "it may match nothing"
        end = buffer.find(self.mark, short.end())
        if end < 0:
            return None
        line = buffer[short.end() : end].rstrip(b"\r")
        rest = self._rest_of_cell.match(line)
        if rest is None:
            return False
        before = line.count(self.delimiter, 0, rest.end())
        return before + len(self._next_cell.findall(line, rest.end())) < self.width - 1

    @cached_property
    def _first_cell(self) -> re.Pattern[bytes]:
        return re.compile(rb"(?:" + self._closed + rb")?+" + self._run(b""))

    @cached_property
    def _next_cell(self) -> re.Pattern[bytes]:
        return re.compile(re.escape(self.delimiter) + self._first_cell.pattern)

    @cached_property
    def _short_lines(self) -> re.Pattern[bytes]:
        """Lines of too few cells, in which every quote is doubled."""
        plain = rb"[^\r" + self._quote + self._outside + rb"]*+"
        text = plain + rb"(?:" + self._quote * 2 + plain + rb")*+"
        more = rb"(?:" + re.escape(self.delimiter) + text + rb"){0,%d}+" % (self.width - 2)
        end = rb"\r" if self.mark == b"\r" else rb"\r?\n"
        return re.compile(rb"(?:" + text + more + end + rb"){0,99}+")

    @cached_property
    def _rest_of_cell(self) -> re.Pattern[bytes]:
        """Text and the quote that closes it. After a delimiter the quote may as well open a cell."""
        delimiter = re.escape(self.delimiter)
        text = rb"(?:[^" + self._quote + rb"]++|" + self._quote * 2 + rb")++"
        return re.compile(text + rb"(?<!" + delimiter + rb")" + self._quote + rb"(?=" + delimiter + rb"|\Z)")

    @cached_property
    def _cells(self) -> re.Pattern[bytes]:
        """The cells of a strict record; the first group is one in quotes."""
        end = rb"(?:" + re.escape(self.delimiter) + rb"|\r?" + self.mark + rb"|\Z)"
        return re.compile(rb"(?:(" + self._closed + rb")|" + self._run(self._quote) + rb")" + end)

    def _record(self, cell: bytes) -> re.Pattern[bytes]:
        end = rb"\r" if self.mark == b"\r" else rb"\r?\n"
        return re.compile(cell + rb"(?:" + re.escape(self.delimiter) + cell + rb")*+" + end)

    @property
    def _quote(self) -> bytes:
        return re.escape(self.quote)

    @property
    def _outside(self) -> bytes:
        """What ends a bare cell."""
        return re.escape(self.delimiter) + self.mark

    @property
    def _closed(self) -> bytes:
        quote = self._quote
        if not quote:
            return _NEVER.pattern
        if self.escape:
            return quote + rb"(?:[^\\" + quote + rb"]++|\\[\s\S]|" + quote + quote + rb")*+" + quote
        return quote + rb"[^" + quote + rb"]*+(?:" + quote * 2 + rb"[^" + quote + rb"]*+)*+" + quote

    @property
    def _framed(self) -> bytes:
        """A cell: in quotes, or bare with quotes anywhere but at its start."""
        if not self.quote:
            return self._run(b"")
        first = (
            rb"(?:[^\\" + self._quote + self._outside + rb"]|\\[\s\S])"
            if self.escape
            else (rb"[^" + self._quote + self._outside + rb"]")
        )
        return rb"(?:" + self._closed + rb"|" + first + self._run(b"") + rb"|)"

    def _run(self, without: bytes) -> bytes:
        """Any number of characters of a bare cell."""
        if self.escape:
            return rb"(?:[^\\" + without + self._outside + rb"]++|\\[\s\S])*+"
        return rb"[^" + without + self._outside + rb"]*+"
