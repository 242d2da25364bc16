"""Where the records of a table begin, and what its columns are called.

Before the header there may be a line `sep=;`, blank lines, and lines of another width: a title, a date, filters. Such a
preamble is passed over where the caller says so (`skip_rows`) or where no doubt is left; what was assumed is noted.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.stream import BadFile

HEAD = 256 << 10
MAX_COLUMNS = 1000
DELIMITERS = (",", ";", "\t", "|")
LOOKED_AT = 50
"""Lines by which delimiter and header are found."""
_MOST = 0.6
_SEPARATOR_LINE = re.compile(rb'\A"?sep=([\t -~])"?\r?[\n\r]', re.IGNORECASE)
_NULL_CELL = re.compile(rb"(?:\A|[\t\n])\\N(?=[\t\r\n])")


@dataclass(frozen=True)
class TableHead:
    """The columns' names, and where the records begin: the offset, and the number of the line."""

    delimiter: str
    line_end: str
    names: tuple[str, ...]
    body: int
    first_line: int
    escape: bool = False
    trailing: bool = False
    notes: tuple[str, ...] = ()


def find_table_head(head: bytes, format_: str, options: Options, line_end: str | None) -> TableHead:
    """Look at the beginning of a file; raises `BadFile` or `InvalidInput`. `line_end` is given where it is known."""
    line_end = line_end or _line_end(head)
    quote = quote_of(options)
    notes: list[str] = []
    start, declared = _separator_line(head)
    start = _after_lines(head, start, options.skip_rows or 0, line_end)
    delimiter = options.delimiter or declared or ("\t" if format_ == "tsv" else None)
    lines = _lines(head[start:], line_end)
    if options.skip_rows is None and options.header is True:
        delimiter, preamble = _with_preamble(lines, delimiter, quote)
        if preamble:
            notes.append(f"the header follows {preamble} lines that are passed over")
            start = _after_lines(head, start, preamble, line_end)
    delimiter = delimiter or _delimiter(lines, quote)
    line, size, lines_before = _header_line(head[start:], line_end, quote)
    first_line = 1 + head[:start].count(line_end[-1:].encode())
    names = _split_names(line, delimiter, quote)
    escape = options.escape == "backslash"
    if options.escape is None and delimiter == "\t" and _NULL_CELL.search(head) and b'"' not in head:
        notes.append("cells are \\N: a backslash escapes, and \\N is an empty cell")
        escape = True
    if options.header is not True:
        given = given_names(options.header, len(names))
        return TableHead(delimiter, line_end, given, start, first_line, escape, notes=tuple(notes))
    names, twice = distinct_names(names)
    notes += twice
    names, trailing = _with_trailing(names, _lines(head[start + size :], line_end), delimiter, quote)
    if trailing:
        notes.append("lines end with a delimiter that the header does not have")
    return TableHead(
        delimiter, line_end, tuple(names), start + size, first_line + lines_before, escape, trailing, tuple(notes)
    )


def quote_of(options: Options) -> str:
    """The quote character; empty where there is none."""
    return "" if options.quote == "none" else options.quote or '"'


def numbered(number: int) -> tuple[str, ...]:
    return tuple(str(place) for place in range(1, number + 1))


def given_names(header: bool | Sequence[str], width: int) -> tuple[str, ...]:
    """The names that the caller gives to columns of a file without a header; raises `InvalidInput`."""
    if isinstance(header, bool):
        return numbered(width)
    if len(header) != width:
        raise InvalidInput(f"names {len(header)} columns, the first record has {width}", field="header")
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise InvalidInput(f"names {twice[:80]!r} twice", field="header")
    return tuple(header)


def distinct_names(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names, of which a repeated one gets a number (`total`, `total_2`), and a note of each; raises `BadFile`."""
    if len(names) > MAX_COLUMNS:
        raise BadFile(f"the header has {len(names)} columns, more than {MAX_COLUMNS}", field="file")
    found: set[str] = set()
    known = frozenset(names)
    distinct, notes = [], []
    for name in names:
        called = name
        if name in found:
            number = next(
                number for number in count(2) if f"{name}_{number}" not in found and f"{name}_{number}" not in known
            )
            called = f"{name}_{number}"
            notes.append(f"the header has {name[:80]!r} more than once: this one is called {called[:90]}")
        distinct.append(called)
        if called:
            found.add(called)
    return distinct, notes


def _line_end(head: bytes) -> str:
    match = re.search(rb"\r\n|\n|\r(?!$)", head)
    return match.group().decode() if match else "\n"


def _separator_line(head: bytes) -> tuple[int, str | None]:
    """How long a first line `sep=;` is, as spreadsheets write it, and what it says."""
    match = _SEPARATOR_LINE.match(head)
    if not match:
        return 0, None
    end = match.end() + (head[match.end() - 1 : match.end() + 1] == b"\r\n")
    return end, match[1].decode()


def _after_lines(head: bytes, start: int, number: int, line_end: str) -> int:
    mark = line_end[-1:].encode()
    for _ in range(number):
        start = head.find(mark, start) + 1
        if not start:
            raise BadFile("the file has no more lines than are to be passed over", field="skip_rows")
    return start


def _lines(head: bytes, line_end: str) -> list[str]:
    """The first lines, without one that is cut off."""
    lines = head.decode("utf-8", "replace").split(line_end)
    if len(head) >= HEAD - (1 << 16) and len(lines) > 1:
        lines.pop()
    return lines[:LOOKED_AT]


def _header_line(head: bytes, line_end: str, quote: str) -> tuple[str, int, int]:
    """The first line that is not blank, its size with all before it, and how many lines that is."""
    mark = line_end[-1:].encode()
    inner = re.escape(quote.encode())
    plain = rb"[^" + inner + mark + rb"]"
    cell = rb"(?:" + plain + rb"|" + inner + rb"[^" + inner + rb"]*" + inner + rb")" if quote else plain
    pattern = re.compile(rb"(?:\s*" + mark + rb")?(" + cell + rb"*+)(" + mark + rb"|$)")
    match = pattern.match(head)
    if not match or (len(head) >= HEAD and not match[2]):
        raise BadFile("the header line does not end, or a quote in it is not closed", field="file")
    try:
        line = match[1].decode()
    except UnicodeDecodeError as error:
        raise BadFile(f"byte {error.start} of the header line is not in the file's encoding", field="file") from error
    if "\x00" in line:
        raise BadFile("a NUL byte in the header line: is this a text file?", field="file")
    return line.rstrip("\r"), match.end(), match.group().count(mark)


def _widths(lines: Sequence[str], delimiter: str, quote: str) -> list[int]:
    """How many cells each line has; nothing where the delimiter would make a cell too large to be one."""
    try:
        return [len(_split_names(line, delimiter, quote)) if line.strip() else 0 for line in lines]
    except BadFile:
        return []


def _score(widths: Sequence[int]) -> tuple[float, int]:
    """The share of lines that are as wide as the first, and how wide it is."""
    counts = [width for width in widths if width]
    if not counts or counts[0] < 2:
        return 0, 0
    return sum(count == counts[0] for count in counts) / len(counts), counts[0]


def _delimiter(lines: Sequence[str], quote: str) -> str:
    """The character that cuts most lines of the beginning into the same number of columns as the first."""
    scores = {delimiter: _score(_widths(lines, delimiter, quote)) for delimiter in DELIMITERS}
    best = max(DELIMITERS, key=scores.__getitem__)
    return best if scores[best][0] else ","


def _with_preamble(lines: Sequence[str], delimiter: str | None, quote: str) -> tuple[str | None, int]:
    """The delimiter, and how many lines come before the header where the first line cannot be it."""
    tried = [delimiter] if delimiter else DELIMITERS
    if any(_score(_widths(lines, each, quote))[0] >= 0.5 for each in tried):
        return delimiter, 0
    found = [(_preamble(lines, each, quote), each) for each in tried]
    best = max(((width, before, each) for (width, before), each in found if before), default=None)
    return (best[2], best[1]) if best else (delimiter, 0)


def _preamble(lines: Sequence[str], delimiter: str, quote: str) -> tuple[int, int]:
    """How wide the table is and how many lines come before it; (0, 0) where that is not beyond doubt."""
    widths = _widths(lines, delimiter, quote)
    common = Counter(width for width in widths if width > 1).most_common(1)
    width, times = common[0] if common else (0, 0)
    before = widths.index(width) if width else 0
    if times < 2 or times < _MOST * sum(map(bool, widths[before:])):
        return 0, 0
    narrow = all(each < 2 or each < width - 1 for each in widths[:before])
    names = [name.strip() for name in _split_names(lines[before], delimiter, quote)]
    if not narrow or len(set(names)) < len(names) or not all(re.match(r"[^\W\d]", name) for name in names):
        return 0, 0
    return width, before


def _split_names(line: str, delimiter: str, quote: str) -> list[str]:
    try:
        content = io.StringIO(line, newline="")
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE
        rows = list(csv.reader(content, delimiter=delimiter, quotechar=quote or None, quoting=quoting))
    except csv.Error as error:
        raise BadFile(f"the header line cannot be read: {error}", field="file") from error
    return [name.strip().lstrip("\ufeff") for name in rows[0]] if rows else []


def _with_trailing(names: list[str], lines: Sequence[str], delimiter: str, quote: str) -> tuple[list[str], bool]:
    """A column without a name where most lines have an empty cell more than the header; or without one they lack.

    Were it not counted, only a line that has lost a delimiter would be as wide as the header.
    """
    rows = [line for line in lines if line.strip()]
    widths = _widths(rows, delimiter, quote)
    wider = sum(width == len(names) + 1 and row.endswith(delimiter) for row, width in zip(rows, widths, strict=False))
    if widths and names[-1:] != [""] and wider >= _MOST * len(rows):
        return [*names, ""], True
    if widths and names[-1:] == [""] and widths.count(len(names) - 1) >= _MOST * len(rows):
        return names[:-1], False
    return names, False
