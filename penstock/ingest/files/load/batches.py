"""What is parsed gathered into batches to load, each of which becomes one transaction."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.slow_path import RejectedRecord
from penstock.ingest.files.parse.stream import BadFile

BATCH_BYTES = 4 << 20
BATCH_REACH = 32 << 20
REJECT_BYTES = 512
"""What a reject weighs in memory beside its content: a batch of the shortest bad lines must not hold millions."""


@dataclass
class LoadBatch:
    """A stretch of the file. Call `stream` or `read` once; until then only the `from_` fields are known.

    `runs` are (records before it in the batch, line) wherever counting lines starts again; `origins` has the lines as
    they came of records that the slow path has rewritten. `records_before` says for each reject how many records are
    before it. `above` is where the last record leaves the carried columns. `matched` are the keys of records of joined
    files, by the number of the file.
    """

    parsed_batches: "_Ahead"
    from_offset: int
    from_line: int
    to_offset: int
    next_line: int
    records: int = 0
    size: int = 0
    parts: list[bytes] = field(default_factory=list)
    runs: list[tuple[int, int]] = field(default_factory=list)
    rejects: list[RejectedRecord] = field(default_factory=list)
    records_before: list[int] = field(default_factory=list)
    origins: dict[int, bytes] = field(default_factory=dict)
    above: Mapping[str, str | None] | None = None
    matched: dict[int, set[str]] = field(default_factory=dict)

    def stream(self) -> Iterator[bytes]:
        """Yield the records' bytes as they are read: while Postgres takes one part, the next is being checked."""
        while not self.is_full and (parsed := next(self.parsed_batches, None)):
            self.add(parsed)
            if parsed.records:
                yield parsed.data
        self.parsed_batches.look()  # Postgres is still taking in the last part

    def read(self) -> "LoadBatch":
        """Read what is left to read; afterwards `parts` and all counts are complete."""
        for _ in self.stream():
            pass
        return self

    def add(self, parsed: ParsedBatch) -> None:
        for place, key in enumerate(parsed.matched):
            if key is not None:
                self.matched.setdefault(place, set()).add(key)
        if parsed.reject:
            self.rejects.append(parsed.reject)
            self.records_before.append(self.records)
            self.size += REJECT_BYTES + len(parsed.reject.content)
        elif parsed.records:
            self._add_records(parsed)
        self.to_offset, self.next_line, self.above = parsed.end, parsed.next_line, parsed.above

    def _add_records(self, parsed: ParsedBatch) -> None:
        if not self.runs or parsed.line - self.runs[-1][1] != self.records - self.runs[-1][0]:
            self.runs.append((self.records, parsed.line))
        if parsed.origin is not None:
            self.origins[self.records] = parsed.origin
        self.parts.append(parsed.data)
        self.records += parsed.records
        self.size += len(parsed.data)

    @property
    def is_full(self) -> bool:
        return self.size >= BATCH_BYTES or self.to_offset - self.from_offset >= BATCH_REACH

    def line_of(self, record: int) -> int:
        """The line in which a record of the batch begins."""
        before, line = self.runs[bisect_right(self.runs, record, key=lambda run: run[0]) - 1]
        return line + record - before


def load_batches(parsed_batches: Iterator[ParsedBatch], offset: int, line: int) -> Iterator[LoadBatch]:
    """Gather what is parsed into batches to load. Each must have been read when the next is asked for."""
    ahead = _Ahead(parsed_batches)
    while ahead.look():
        batch = LoadBatch(ahead, offset, line, offset, line)
        yield batch
        offset, line = batch.to_offset, batch.next_line
    ahead.end()


class _Ahead(Iterator[ParsedBatch]):
    """Parsed batches, of which one may be read before it is asked for. A fault in the file waits until then."""

    def __init__(self, parsed_batches: Iterator[ParsedBatch]) -> None:
        self._batches = parsed_batches
        self._waiting: ParsedBatch | None = None
        self._fault: BadFile | None = None

    def look(self) -> bool:
        """Read the next one unless it is there already; gives whether there is one."""
        if self._waiting is None and self._fault is None:
            try:
                self._waiting = next(self._batches, None)
            except BadFile as fault:
                self._fault = fault
        return self._waiting is not None

    def __next__(self) -> ParsedBatch:
        if not self.look():
            self.end()
            raise StopIteration
        parsed, self._waiting = self._waiting, None
        assert parsed is not None
        return parsed

    def end(self) -> None:
        if self._fault:
            raise self._fault
