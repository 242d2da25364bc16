"""What dialect a file is in: compression, encoding, format, delimiter, line ending, header.

Of a workbook, an archive or a Parquet file it is that of its `contents`.

Looks at the first 256 KiB only. What was declared is taken; the rest is found out or, where it cannot be, refused
with the reason. Never guesses between encodings: without a mark it is UTF-8, and bytes that are not are refused line
by line.
"""

import csv
import io
import re
from dataclasses import dataclass, replace
from typing import BinaryIO

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.cell_text import LINE_END
from penstock.ingest.files.parse.contents import Contents
from penstock.ingest.files.parse.stream import BadFile, blocks, byte_order_mark, decompressed_head, is_compressed

HEAD = 256 << 10
MAX_COLUMNS = 1000
DELIMITERS = (",", ";", "\t", "|")

_FOREIGN = {
    b"PK\x03\x04": "a zip archive (or a spreadsheet) within another: unpack one of them",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file within an archive: send it as it is",
    b"SQLite format 3": "an SQLite database",
    b"\xd0\xcf\x11\xe0": "an old Office document, or one with a password: save the sheet as .xlsx or CSV",
    b"BZh": "a bzip2 file: unpack it, or use gzip",
    b"\xfd7zXZ": "an xz file: unpack it, or use gzip",
    b"\x28\xb5\x2f\xfd": "a zstd file: unpack it, or use gzip",
    b"\x7fELF": "a program",
}


@dataclass(frozen=True)
class Dialect:
    """`header` has the columns' names; `body` and `first_line` say where the records begin."""

    compressed: bool
    encoding: str
    bom: int
    format: str
    delimiter: str = ","
    line_end: str = "\n"
    header: tuple[str, ...] = ()
    body: int = 0
    first_line: int = 1
    container: str | None = None
    sheet: str | None = None


def sniff(file: BinaryIO, options: Options) -> Dialect:
    """Find out the dialect or raise `BadFile`."""
    if not isinstance(file, Contents):
        return _sniffed(file, options, None)
    if file.is_rows:
        options = replace(options, format="csv", encoding="utf-8", delimiter=",")
    dialect = _sniffed(file, options, LINE_END if file.is_rows else None)
    return replace(dialect, container=file.container, sheet=file.sheet)


def _sniffed(file: BinaryIO, options: Options, line_end: str | None) -> Dialect:
    file.seek(0)
    head = file.read(HEAD)
    compressed = is_compressed(head)
    inner = decompressed_head(head, HEAD) if compressed else head
    _refuse_foreign(inner)
    encoding, bom = _encoding(inner, options)
    text_head = b"".join(_first(blocks(file, compressed=compressed, encoding=encoding, bom=bom)))
    if not text_head.strip():
        raise BadFile("the file is empty", field="file")
    if _looks_like_a_page(text_head):
        raise BadFile("an HTML page, not a table: was a login page saved instead of the file?", field="file")
    format_ = options.format or _format(text_head)
    if format_ in {"json", "jsonl"}:
        return Dialect(compressed, encoding, bom, format_)
    return _table(text_head, compressed, encoding, bom, format_, options, line_end or _line_end(text_head))


def _first(content: object) -> list[bytes]:
    parts: list[bytes] = []
    for block in content:  # type: ignore[attr-defined]
        parts.append(block[:HEAD])
        if sum(map(len, parts)) >= HEAD:
            break
    return parts


def _refuse_foreign(head: bytes) -> None:
    for mark, what in _FOREIGN.items():
        if head.startswith(mark):
            raise BadFile(f"this is {what}", field="file")


def _encoding(head: bytes, options: Options) -> tuple[str, int]:
    found = byte_order_mark(head)
    declared = options.encoding
    if declared:
        return declared, found[1] if found and found[0] == declared else 0
    if found:
        return found
    pairs = head[:4096]
    zeros = pairs[0::2].count(0), pairs[1::2].count(0)
    if max(zeros) > len(pairs) // 4 and min(zeros) < max(zeros) // 8 + 1:
        return ("utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"), 0
    return "utf-8", 0


def _looks_like_a_page(head: bytes) -> bool:
    return bool(re.match(rb"\s*<(?:!doctype\s+html|html|head|body|\?xml)", head[:1000], re.IGNORECASE))


def _format(head: bytes) -> str:
    start = head.lstrip()[:1]
    if start == b"{":
        return "jsonl"
    if start == b"[" and re.match(rb"\s*\[\s*(?:\{|\])", head):
        return "json"
    return "csv"


def _table(
    head: bytes, compressed: bool, encoding: str, bom: int, format_: str, options: Options, line_end: str
) -> Dialect:
    delimiter = options.delimiter or ("\t" if format_ == "tsv" else _delimiter(head, line_end))
    line, size, lines = _header_line(head, line_end)
    names = _split_names(line, delimiter)
    if not options.header:
        return Dialect(compressed, encoding, bom, "csv", delimiter, line_end, tuple(_numbered(len(names))))
    _check_names(names)
    return Dialect(compressed, encoding, bom, "csv", delimiter, line_end, tuple(names), size, 1 + lines)


def _line_end(head: bytes) -> str:
    match = re.search(rb"\r\n|\n|\r(?!$)", head)
    return match.group().decode() if match else "\n"


def _header_line(head: bytes, line_end: str) -> tuple[str, int, int]:
    """The first line that is not blank, its size with all before it, and how many lines that is."""
    mark = line_end[-1:].encode()
    pattern = re.compile(rb"(?:\s*" + mark + rb')?((?:[^"' + mark + rb']|"[^"]*")*+)(' + mark + rb"|$)")
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


def _delimiter(head: bytes, line_end: str) -> str:
    """The character that cuts most lines of the beginning into the same number of columns as the first."""
    text = head.decode("utf-8", "replace")
    lines = [line for line in text.split(line_end)[:50] if line.strip()]
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()

    def score(delimiter: str) -> tuple[float, int]:
        try:
            counts = [len(_split_names(line, delimiter)) for line in lines]
        except BadFile:  # without this delimiter a cell would be too large to be one
            return 0, 0
        if not counts or counts[0] < 2:
            return 0, 0
        return sum(count == counts[0] for count in counts) / len(counts), counts[0]

    best = max(DELIMITERS, key=score)
    return best if score(best)[0] else ","


def _split_names(line: str, delimiter: str) -> list[str]:
    try:
        rows = list(csv.reader(io.StringIO(line, newline=""), delimiter=delimiter))
    except csv.Error as error:
        raise BadFile(f"the header line cannot be read: {error}", field="file") from error
    return [name.strip().lstrip("\ufeff") for name in rows[0]] if rows else []


def _numbered(number: int) -> list[str]:
    return [str(place) for place in range(1, number + 1)]


def _check_names(names: list[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise BadFile(f"the header has {len(names)} columns, more than {MAX_COLUMNS}", field="file")
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise InvalidInput(f"the header names {sorted(twice)[0][:80]!r} twice", field="file")
