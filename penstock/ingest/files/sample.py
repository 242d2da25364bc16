"""The beginning of a file, to be looked at as often as one likes: at most 16 MB of its text and 10,000 rows."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any, BinaryIO, Final

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.parse.dates import read_rows
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.jsonl import bare, suspect_records
from penstock.ingest.files.parse.stream import BadFile, blocks

ROWS: Final = 10_000
BYTES: Final = 16 << 20
_WHOLE: Final = re.compile(r"[+-]?\d+(?:\.0+)?", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?[\d.,']*\d(?:[eE][+-]?\d+)?", re.ASCII)
_TIME: Final = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ].*)?|\d{1,2}:\d{2}(?::\d{2}.*)?", re.ASCII)
_TRUTH: Final = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f"})


@dataclass(frozen=True)
class Sample:
    """`file` is UTF-8 text, whatever the file's own encoding; `dialect` reads it. `complete`: it is all of the file."""

    file: io.BytesIO
    dialect: Dialect
    complete: bool

    @cached_property
    def rows(self) -> list[Mapping[str, str]]:
        """The rows as the file has them, {column: text}; lines whose framing is broken are passed over."""
        found = self._table() if self.dialect.format == "csv" else self._objects()
        return list(islice(found, ROWS))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns; of JSON records the keys, in the order in which they come."""
        if self.dialect.format == "csv":
            return self.dialect.header
        return tuple(dict.fromkeys(name for row in self.rows[:1000] for name in row))

    def values(self, column: str) -> Iterator[str]:
        """The texts of a column that are not blank."""
        return (text for row in self.rows if (text := row.get(column, "").strip()))

    def type_of(self, column: str) -> str:
        """What the values look like: integer, number, time, boolean, text; or empty."""
        seen = list(islice(self.values(column), 1000))
        looks = (
            ("integer", _WHOLE.fullmatch),
            ("number", _NUMBER.fullmatch),
            ("time", _TIME.fullmatch),
            ("boolean", lambda text: text.casefold() in _TRUTH),
        )
        return next((name for name, fits in looks if all(map(fits, seen))), "text") if seen else "empty"

    def _table(self) -> Iterator[Mapping[str, str]]:
        dialect = self.dialect
        for cells in read_rows(self._content(dialect.body), dialect):
            yield dict(zip(dialect.header, cells, strict=True))

    def _objects(self) -> Iterator[Mapping[str, str]]:
        with suppress(BadFile):  # an array that is cut off
            for suspect in suspect_records(self._content(0), self.dialect, 0, 1):
                with suppress(InvalidInput):
                    record = json_codec.loads(bare(suspect) or b"null", field="record")
                    if isinstance(record, dict):
                        yield {name: _text(value) for name, value in record.items()}

    def _content(self, offset: int) -> Iterator[bytes]:
        return blocks(self.file, compressed=False, encoding="utf-8", bom=0, offset=offset)


def take_sample(file: BinaryIO, dialect: Dialect) -> Sample:
    """Read the beginning of a file whose dialect is known."""
    content = bytearray()
    for block in blocks(file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom):
        content += block
        if len(content) > BYTES:
            break
    complete = len(content) <= BYTES
    if not complete:
        # JSON may be one long line
        del content[content.rfind(dialect.line_end[-1:].encode(), 0, BYTES) + 1 or BYTES :]
    return Sample(
        io.BytesIO(bytes(content)), replace(dialect, compressed=False, encoding="utf-8", bom=0), complete=complete
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json_codec.dumps(value)
