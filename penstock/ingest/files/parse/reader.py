"""A stored file as judged pieces: records for COPY and rejects, from any offset on."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.fast_path import RecordBatch, Splitter, SuspectRecord, build_lane
from penstock.ingest.files.parse.jsonl import Records, odd_records
from penstock.ingest.files.parse.slow_path import KEPT, RecordParser, RejectedRecord
from penstock.ingest.files.parse.stream import Meter, blocks
from penstock.ingest.files.plan import Plan


def read_pieces(
    file: BinaryIO, plan: Plan, offset: int, line: int, meter: Meter | None = None
) -> Iterator[ParsedBatch]:
    """Yield the pieces of a file in order, without gaps; raises `BadFile` when it cannot be read further."""
    layout = plan.layout
    content = blocks(file, packed=layout.packed, encoding=layout.encoding, bom=layout.bom, offset=offset, meter=meter)
    judge = RecordParser(plan)
    if not plan.is_table:
        records = Records(plan, judge)
        for odd in odd_records(content, plan, offset, line):
            yield _judged(odd, records.judge)
        return
    lane = build_lane(plan.columns, layout.delimiter.encode(), layout.line_end.encode())
    for piece in Splitter(lane, offset, line).split(content):
        if isinstance(piece, SuspectRecord):
            yield _judged(piece, judge.judge)
        else:
            yield _untouched(piece)


def _untouched(span: RecordBatch) -> ParsedBatch:
    return ParsedBatch(span.data, span.lines, span.line, span.offset + len(span.data), span.line + span.lines)


def _judged(odd: SuspectRecord, judge: Callable[[SuspectRecord], bytes | RejectedRecord | None]) -> ParsedBatch:
    verdict = judge(odd)
    end, next_line = odd.offset + odd.size, odd.line + odd.lines
    if isinstance(verdict, RejectedRecord):
        return ParsedBatch(b"", 0, odd.line, end, next_line, verdict)
    return ParsedBatch(verdict or b"", int(verdict is not None), odd.line, end, next_line, origin=odd.data[:KEPT])
