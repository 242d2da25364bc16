"""A stored file as judged pieces: records for COPY and rejects, from any offset on."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from penstock.ingest.files.parse.batch import Piece
from penstock.ingest.files.parse.fast_path import Odd, Span, Splitter, build_lane
from penstock.ingest.files.parse.jsonl import Records, odd_records
from penstock.ingest.files.parse.slow_path import KEPT, Judge, Reject
from penstock.ingest.files.parse.stream import Meter, blocks
from penstock.ingest.files.plan import Plan


def read_pieces(file: BinaryIO, plan: Plan, offset: int, line: int, meter: Meter | None = None) -> Iterator[Piece]:
    """Yield the pieces of a file in order, without gaps; raises `BadFile` when it cannot be read further."""
    layout = plan.layout
    content = blocks(file, packed=layout.packed, encoding=layout.encoding, bom=layout.bom, offset=offset, meter=meter)
    judge = Judge(plan)
    if not plan.is_table:
        records = Records(plan, judge)
        for odd in odd_records(content, plan, offset, line):
            yield _judged(odd, records.judge)
        return
    lane = build_lane(plan.columns, layout.delimiter.encode(), layout.line_end.encode())
    for piece in Splitter(lane, offset, line).split(content):
        if isinstance(piece, Odd):
            yield _judged(piece, judge.judge)
        else:
            yield _untouched(piece)


def _untouched(span: Span) -> Piece:
    return Piece(span.data, span.lines, span.line, span.offset + len(span.data), span.line + span.lines)


def _judged(odd: Odd, judge: Callable[[Odd], bytes | Reject | None]) -> Piece:
    verdict = judge(odd)
    end, next_line = odd.offset + odd.size, odd.line + odd.lines
    if isinstance(verdict, Reject):
        return Piece(b"", 0, odd.line, end, next_line, verdict)
    return Piece(verdict or b"", int(verdict is not None), odd.line, end, next_line, origin=odd.data[:KEPT])
