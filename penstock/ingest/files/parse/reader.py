"""A stored file as parsed batches: records for COPY and rejects, from any offset on."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.fast_path import RecordBatch, Splitter, SuspectRecord, build_patterns
from penstock.ingest.files.parse.jsonl import Records, suspect_records
from penstock.ingest.files.parse.slow_path import KEPT, RecordParser, RejectedRecord
from penstock.ingest.files.parse.stream import Meter, blocks
from penstock.ingest.files.plan import Plan


def read_batches(
    file: BinaryIO, plan: Plan, offset: int, line: int, meter: Meter | None = None
) -> Iterator[ParsedBatch]:
    """Yield the batches of a file in order, without gaps; raises `BadFile` when it cannot be read further."""
    dialect = plan.dialect
    content = blocks(
        file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom, offset=offset, meter=meter
    )
    parse = RecordParser(plan)
    if not plan.is_table:
        records = Records(plan, parse)
        for suspect in suspect_records(content, plan, offset, line):
            yield _parsed(suspect, records.parse)
        return
    patterns = build_patterns(plan.columns, dialect.delimiter.encode(), dialect.line_end.encode())
    for parsed in Splitter(patterns, offset, line).split(content):
        if isinstance(parsed, SuspectRecord):
            yield _parsed(parsed, parse.parse)
        else:
            yield _untouched(parsed)


def _untouched(batch: RecordBatch) -> ParsedBatch:
    return ParsedBatch(batch.data, batch.lines, batch.line, batch.offset + len(batch.data), batch.line + batch.lines)


def _parsed(suspect: SuspectRecord, parse: Callable[[SuspectRecord], bytes | RejectedRecord | None]) -> ParsedBatch:
    result = parse(suspect)
    end, next_line = suspect.offset + suspect.size, suspect.line + suspect.lines
    if isinstance(result, RejectedRecord):
        return ParsedBatch(b"", 0, suspect.line, end, next_line, result)
    return ParsedBatch(result or b"", int(result is not None), suspect.line, end, next_line, origin=suspect.data[:KEPT])
