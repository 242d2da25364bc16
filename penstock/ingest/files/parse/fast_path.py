"""The fast path: one pattern, made from the columns, that matches as many whole records as it can in one call.

What it matches is well-formed CSV whose every value COPY will take and read as declared, so it goes to Postgres
untouched. The record at which it stops is a `SuspectRecord`, for the slow path. Guards that must stay, each found by
mutated records that were taken wrongly without it: no NUL, no backslash, UTF-8 checked, possessive quantifiers, and
one line ending a file (COPY takes the first it sees for all).

A quote opens a field only at its start, and a malformed record costs one line of the file, not all up to the next
quote: how records are framed, and when a record of several lines is believed, is in `framing.py`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from penstock.ingest.files.parse.framing import Framing

MAX_RECORD = 1 << 20
_CUT_OFF = "cut off: a line below closes a quote that none has opened"
KEPT_OF_A_LONG_LINE = 8192


class Shape(Protocol):
    """What the pattern needs to know of a column."""

    @property
    def required(self) -> bool: ...
    def bare(self, delimiter: bytes) -> bytes: ...
    def quoted(self) -> bytes: ...


class RecordBatch(NamedTuple):
    """Good records, untouched: one a line."""

    data: bytes
    offset: int
    line: int
    lines: int


class SuspectRecord(NamedTuple):
    """One record that the pattern did not take. `fault` says what is wrong when its very framing is.

    `size` is what it takes in the stream; of an endless line `data` holds the beginning only.
    """

    data: bytes
    offset: int
    line: int
    lines: int
    size: int
    fault: str | None = None


@dataclass(frozen=True)
class RecordPatterns:
    good: re.Pattern[bytes]
    framing: Framing

    @property
    def whole(self) -> re.Pattern[bytes]:
        return self.framing.whole

    @property
    def line_end(self) -> bytes:
        return self.framing.line_end

    @property
    def mark(self) -> bytes:
        """The byte by which lines are counted."""
        return self.framing.line_end[-1:]


def build_patterns(
    columns: Sequence[Shape],
    delimiter: bytes,
    line_end: bytes,
    quote: bytes = b'"',
    *,
    escape: bool = False,
    width: int = 0,
) -> RecordPatterns:
    """`line_end` is the file's: LF, CRLF or CR. Without columns, or with another quote, no record is taken as it is.

    With `width`, how many cells a record has, one is refused whose last cell the lines after it seem to go on with.
    """
    record = re.escape(delimiter).join(_column(column, delimiter) for column in columns) + line_end
    good = re.compile(rb"(?:" + record + rb")*+" if columns and quote == b'"' else b"")
    return RecordPatterns(good, Framing(delimiter, line_end, quote, escape, width))


def _column(column: Shape, delimiter: bytes) -> bytes:
    either = rb"(?:" + column.bare(delimiter) + rb"|" + column.quoted()
    # an empty field is a missing one, with quotes too: force_null says so to COPY
    return either + rb")" if column.required else either + rb'|""|)'


class Splitter:
    """Cuts a stream into batches of good records and suspect ones, in order and without gaps."""

    def __init__(self, patterns: RecordPatterns, offset: int, line: int) -> None:
        self.patterns = patterns
        self.offset = offset
        self.line = line
        self._buffer = b""

    def split(self, blocks: Iterable[bytes]) -> Iterator[RecordBatch | SuspectRecord]:
        """Memory: a block and a record. Call once."""
        source = iter(blocks)
        for block in source:
            self._buffer = self._buffer + block if self._buffer else block
            del block  # or it stays in memory beside the buffer
            yield from self._batches(final=False)
            if len(self._buffer) > MAX_RECORD:
                yield self._endless_line(source)
        if self._buffer:
            if not self._buffer.endswith(self.patterns.mark):
                self._buffer += self.patterns.line_end
            yield from self._batches(final=True)

    def _batches(self, *, final: bool) -> Iterator[RecordBatch | SuspectRecord]:
        buffer, place = self._buffer, 0
        self._buffer = b""
        upto = self._in_sight(buffer, final)
        while place < upto:
            end = _end_of(self.patterns.good.match(buffer, place, upto))
            if end > place and (last := self._last_in_doubt(buffer, place, end, final)) is not None:
                end = last
            if end > place:
                data = buffer[place:end]
                if len(buffer) - end < len(data):  # mostly the start of a record: let go of what is given out
                    buffer, upto, end = buffer[end:], upto - end, 0
                place = end
                yield from self._readable(data)
                continue
            suspect = self._suspect(buffer, place, final)
            if suspect is None:
                break
            place += suspect.size
            self._pass(suspect.size, suspect.lines)
            yield suspect
        self._buffer = buffer[place:]

    def _suspect(self, buffer: bytes, place: int, final: bool) -> SuspectRecord | None:
        """The record at `place`, or None when its end is not in sight."""
        framing = self.patterns.framing
        if match := framing.whole.match(buffer, place):
            data = match.group()
            if len(data) > MAX_RECORD:
                return self._one_line(buffer, place, f"a record of more than {MAX_RECORD} bytes")
            lines = data.count(self.patterns.mark)
            final = final or len(buffer) - place > MAX_RECORD
            left_over = self._is_left_over(buffer, place, data)
            if left_over is None and not final:
                return None
            if left_over:
                return SuspectRecord(data, self.offset, self.line, lines, len(data), _CUT_OFF)
            if lines == 1:
                return SuspectRecord(data, self.offset, self.line, 1, len(data))
            return self._several_lines(buffer, place, data, final=final)
        if framing.broken.match(buffer, place):
            return self._one_line(buffer, place, "text after a closing quote")
        if final or len(buffer) - place > MAX_RECORD:
            return self._one_line(buffer, place, "a quote that is not closed")
        return None

    def _in_sight(self, buffer: bytes, final: bool) -> int:
        """Where the last line begins, as long as what follows a record says whether to believe it."""
        if final or not self.patterns.framing.looks_ahead:
            return len(buffer)
        mark = self.patterns.mark
        upto = buffer.rfind(mark, 0, max(buffer.rfind(mark), 0)) + 1
        return len(buffer) if len(buffer) - upto > MAX_RECORD else upto

    def _last_in_doubt(self, buffer: bytes, place: int, end: int, final: bool) -> int | None:
        """Where the last of the good records begins, if what follows may be the rest of it; else None."""
        framing = self.patterns.framing
        if not framing.looks_ahead or framing.is_left_over(buffer, end) is False or (final and end == len(buffer)):
            return None
        while (following := _end_of(framing.whole.match(buffer, place))) < end:
            place = following
        return place if framing.may_be_cut_off(buffer[place:end]) else None

    def _is_left_over(self, buffer: bytes, place: int, record: bytes) -> bool | None:
        """Whether the record goes on in the lines after it; None where those are not in sight."""
        framing = self.patterns.framing
        if not framing.looks_ahead or not framing.may_be_cut_off(record):
            return False
        return framing.is_left_over(buffer, place + len(record))

    def _several_lines(self, buffer: bytes, place: int, data: bytes, *, final: bool) -> SuspectRecord | None:
        """A record with line ends in its cells, unless one of its quotes may be another record's."""
        framing, lines = self.patterns.framing, data.count(self.patterns.mark)
        if not framing.strict.fullmatch(data):
            return self._one_line(buffer, place, "a quote that is not closed in this record")
        suspect = SuspectRecord(data, self.offset, self.line, lines, len(data))
        seam, end = framing.seam(data), place + len(data)
        if not seam:
            return suspect
        follows = (final and end == len(buffer)) or framing.strict.match(buffer, end)
        if seam == framing.mark and follows:
            return suspect  # what follows begins where this ends, so the line end is the cell's own
        if not follows and not final:
            return None
        if not follows:  # the other half of the record that the quote cut in two
            data = buffer[place : buffer.find(framing.mark, end) + 1] or data
        last = self.line + lines - 1
        doubt = (
            f"the quote that closes in line {last} may open a cell there:"
            f" none of lines {self.line} to {self.line + data.count(framing.mark) - 1} is taken"
        )
        return SuspectRecord(data, self.offset, self.line, data.count(framing.mark), len(data), doubt)

    def _one_line(self, buffer: bytes, place: int, fault: str) -> SuspectRecord | None:
        end = buffer.find(self.patterns.mark, place) + 1
        if not end:
            return None
        data = buffer[place:end]
        return SuspectRecord(data, self.offset, self.line, 1, len(data), fault)

    def _readable(self, data: bytes) -> Iterator[RecordBatch | SuspectRecord]:
        """COPY would abort at a byte that is not UTF-8, so those lines leave the batch here."""
        if data.isascii() or _is_utf8(data):
            yield self._batch(data)
            return
        good = bytearray()
        for line in _lines(data, self.patterns.mark):
            if _is_utf8(line):
                good += line
                continue
            if good:
                yield self._batch(bytes(good))
                good.clear()
            suspect = SuspectRecord(line, self.offset, self.line, 1, len(line))
            self._pass(suspect.size, 1)
            yield suspect
        if good:
            yield self._batch(bytes(good))

    def _batch(self, data: bytes) -> RecordBatch:
        batch = RecordBatch(data, self.offset, self.line, data.count(self.patterns.mark))
        self._pass(len(data), batch.lines)
        return batch

    def _endless_line(self, source: Iterator[bytes]) -> SuspectRecord:
        """Pass over a line that is longer than a record may be, keeping only its beginning."""
        kept = self._buffer[:KEPT_OF_A_LONG_LINE]
        size = len(self._buffer)
        self._buffer = b""
        for block in source:
            end = block.find(self.patterns.mark) + 1
            size += end or len(block)
            if end:
                self._buffer = block[end:]
                break
        suspect = SuspectRecord(kept, self.offset, self.line, 1, size, f"a line of more than {MAX_RECORD} bytes")
        self._pass(size, 1)
        return suspect

    def _pass(self, size: int, lines: int) -> None:
        self.offset += size
        self.line += lines


def _end_of(match: re.Match[bytes] | None) -> int:
    assert match is not None, "a pattern that may match nothing always matches"
    return match.end()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _lines(data: bytes, mark: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = data.index(mark, start) + 1
        yield data[start:end]
        start = end
