"""What dialect a file is in: compression, encoding, format, delimiter, line ending, header.

Of a workbook, an archive or a Parquet file it is that of its `contents`.

Looks at the first 256 KiB only. What was declared is taken; the rest is found out or, where it cannot be, refused
with the reason. Never guesses between encodings: without a mark it is UTF-8, and bytes that are not are refused line
by line.
"""

import re
from dataclasses import dataclass, replace
from typing import BinaryIO

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.cell_text import LINE_END
from penstock.ingest.files.parse.contents import Contents
from penstock.ingest.files.parse.header import HEAD, distinct_names, find_table_head, given_names, quote_of
from penstock.ingest.files.parse.json_items import item_end
from penstock.ingest.files.parse.stream import BadFile, blocks, byte_order_mark, decompressed_head, is_compressed

_ARRAY = re.compile(rb"\A\s*+(?=\[)")
_OUTER_ARRAY = re.compile(rb"\A\s*+\[\s*+(?=\[)")
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
    """`header` has the columns' names; `body` and `first_line` say where the records begin.

    `quote` is empty where nothing is quoted; `escape`: a backslash escapes; `trailing`: the last column has no name and
    no text, since lines end with a delimiter. `notes` say what was assumed.
    """

    compressed: bool
    encoding: str
    bom: int
    format: str
    delimiter: str = ","
    line_end: str = "\n"
    header: tuple[str, ...] = ()
    body: int = 0
    first_line: int = 1
    quote: str = '"'
    escape: bool = False
    trailing: bool = False
    notes: tuple[str, ...] = ()
    container: str | None = None
    sheet: str | None = None

    @property
    def is_arrays(self) -> bool:
        """Whether records are JSON arrays, one value for each column."""
        return self.format != "csv" and bool(self.header)


def sniff(file: BinaryIO, options: Options) -> Dialect:
    """Find out the dialect or raise `BadFile`."""
    if not isinstance(file, Contents):
        return _sniffed(file, options, None)
    if file.is_rows:
        options = replace(options, format="csv", encoding="utf-8", delimiter=",", quote='"', escape="none")
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
        found = Dialect(compressed, encoding, bom, format_)
        first = _first_array(text_head, format_)
        return found if first is None else _with_columns(found, text_head, *first, options)
    table = find_table_head(text_head, format_, options, line_end)
    return Dialect(
        compressed,
        encoding,
        bom,
        "csv",
        table.delimiter,
        table.line_end,
        table.names,
        table.body,
        table.first_line,
        quote_of(options),
        table.escape,
        table.trailing,
        table.notes,
    )


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
    if start == b"[" and re.match(rb"\s*\[\s*(?:\{|\[|\])", head):
        return "json"
    return "jsonl" if start == b"[" and _is_json(head.lstrip().splitlines()[0]) else "csv"


def _is_json(line: bytes) -> bool:
    try:
        json_codec.loads(line, field="file")
    except InvalidInput:
        return False
    return True


def _first_array(head: bytes, format_: str) -> tuple[int, int] | None:
    """Where the first record begins and ends in a file whose records are JSON arrays; None of one with objects."""
    match = (_OUTER_ARRAY if format_ == "json" else _ARRAY).match(head)
    end = item_end(head, match.end()) if match else None
    return (match.end(), end) if match and end else None


def _with_columns(found: "Dialect", head: bytes, begin: int, end: int, options: Options) -> "Dialect":
    """The names of the columns are the caller's, or those of the first array."""
    first = json_codec.loads(head[begin:end], field="file")
    if options.header is not True:
        return replace(found, header=given_names(options.header, len(first)))
    if not all(isinstance(name, str) and name.strip() for name in first):
        raise BadFile("the first array must hold the columns' names; or say them as the option header", field="header")
    names, notes = distinct_names([name.strip() for name in first])
    line = 1 + head.count(b"\n", 0, end)
    return replace(found, header=tuple(names), body=end, first_line=line, notes=tuple(notes))
