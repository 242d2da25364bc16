"""A JSON array cut into its items, by counting brackets outside strings: nothing of it is parsed here."""

import re
from collections.abc import Iterable, Iterator

from penstock.ingest.files.parse.fast_path import MAX_RECORD, SuspectRecord
from penstock.ingest.files.parse.stream import BadFile

_STRING = rb'"(?:[^"\\]|\\.)*+"'
_SCALAR = re.compile(rb"(?:" + _STRING + rb'|[^,\]"])++(?=[,\]])', re.DOTALL)
_FLAT = re.compile(rb'\{(?:[^"{}\[\]]++|' + _STRING + rb")*+\}", re.DOTALL)
_TOKEN = re.compile(rb'[^"{}\[\]]++|' + _STRING + rb"|[{}\[\]]", re.DOTALL)
_BETWEEN = re.compile(rb"[\s,]*+")


class ArrayItems:
    """Cuts a JSON array into its items by counting brackets outside strings."""

    def __init__(self, offset: int, line: int) -> None:
        self._offset = offset
        self._line = line
        self._begun = offset > 0
        self._closed = False
        self._buffer = b""
        self._place = 0

    def split(self, content: Iterable[bytes]) -> Iterator[SuspectRecord]:
        for block in content:
            self._buffer = self._buffer[self._place :] + block
            self._place = 0
            yield from self._items()
            if len(self._buffer) - self._place > MAX_RECORD:
                raise BadFile(f"an item of more than {MAX_RECORD} bytes at byte {self._offset}", field="file")
        if not self._closed:
            raise BadFile(f"the JSON array is not closed; it breaks off after byte {self._offset}", field="file")

    def _items(self) -> Iterator[SuspectRecord]:
        if not self._begun and (start := self._buffer.find(b"[")) >= 0:
            self._begun = True
            self._pass(start + 1)
        while self._begun:
            self._pass(_end(_BETWEEN.match(self._buffer, self._place)) - self._place)
            if self._place == len(self._buffer):
                return
            if self._closed:
                raise BadFile(f"text after the end of the JSON array at byte {self._offset}", field="file")
            if self._buffer.startswith(b"]", self._place):
                self._closed = True
                self._pass(1)
                continue
            end = item_end(self._buffer, self._place)
            if end is None:
                return
            data = self._buffer[self._place : end]
            suspect = SuspectRecord(data, self._offset, self._line, data.count(b"\n"), len(data))
            self._pass(len(data))
            yield suspect

    def _pass(self, size: int) -> None:
        self._line += self._buffer.count(b"\n", self._place, self._place + size)
        self._offset += size
        self._place += size


def item_end(data: bytes, start: int) -> int | None:
    """Where the item that begins at `start` ends, or None if that is not in sight."""
    if flat := _FLAT.match(data, start):
        return flat.end()
    if data[start : start + 1] not in (b"{", b"["):
        match = _SCALAR.match(data, start)
        return match.end() if match else None
    depth, place = 0, start
    while match := _TOKEN.match(data, place):
        place = match.end()
        token = match.group()
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
        if depth == 0:
            return place
    return None


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None, "a pattern that may match nothing always matches"
    return match.end()
