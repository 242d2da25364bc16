"""What reading yields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from penstock.ingest.files.parse.slow_path import RejectedRecord


@dataclass(frozen=True)
class ParsedBatch:
    """`data` is `records` records for COPY, the first of which begins in `line`; or it is empty, with a reject.

    `end` and `next_line` say where reading goes on after this batch. Neither data nor reject: blank lines.
    `origin`: the line as it came, when `data` was rewritten. `above`: for each carried column the last value that it
    had here, without which reading cannot go on after this batch. `matched`: for each joined file the key by which the
    record has one of it, or None.
    """

    data: bytes
    records: int
    line: int
    end: int
    next_line: int
    reject: RejectedRecord | None = None
    origin: bytes | None = None
    above: Mapping[str, str | None] | None = None
    matched: Sequence[str | None] = ()
