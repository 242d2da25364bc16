"""Pieces of a file gathered into chunks, each of which becomes one transaction."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from penstock.imports.careful import Reject
from penstock.imports.piece import Piece

CHUNK_BYTES = 4 << 20
CHUNK_REACH = 32 << 20


@dataclass
class Chunk:
    """`runs` are (records before it in the chunk, line) wherever counting lines starts anew; `origins` has the
    lines as they came of records that the careful lane has written anew."""

    from_offset: int
    from_line: int
    to_offset: int = 0
    next_line: int = 0
    records: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    origins: dict[int, bytes] = field(default_factory=dict)

    def add(self, piece: Piece) -> None:
        if piece.reject:
            self.rejects.append(piece.reject)
            self.size += len(piece.reject.content)
        elif piece.records:
            self._add_records(piece)
        self.to_offset, self.next_line = piece.end, piece.next_line

    def _add_records(self, piece: Piece) -> None:
        if not self.runs or piece.line - self.runs[-1][1] != self.records - self.runs[-1][0]:
            self.runs.append((self.records, piece.line))
        if piece.origin is not None:
            self.origins[self.records] = piece.origin
        self.parts.append(piece.data)
        self.records += piece.records
        self.size += len(piece.data)

    @property
    def is_full(self) -> bool:
        return self.size >= CHUNK_BYTES or self.to_offset - self.from_offset >= CHUNK_REACH

    def line_of(self, record: int) -> int:
        """The line in which a record of the chunk begins."""
        before, line = self.runs[bisect_right(self.runs, record, key=lambda run: run[0]) - 1]
        return line + record - before


def chunks(pieces: Iterator[Piece], offset: int, line: int) -> Iterator[Chunk]:
    chunk = Chunk(offset, line)
    for piece in pieces:
        chunk.add(piece)
        if chunk.is_full:
            yield chunk
            chunk = Chunk(chunk.to_offset, chunk.next_line)
    if chunk.to_offset > chunk.from_offset:
        yield chunk
