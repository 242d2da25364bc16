"""A stored file as parsed batches: records for COPY and rejects, from any offset on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.computed import ComputedRecords
from penstock.ingest.files.parse.fast_path import RecordBatch, RecordPatterns, Splitter, SuspectRecord, build_patterns
from penstock.ingest.files.parse.field_type import InvalidValue
from penstock.ingest.files.parse.jsonl import Records, suspect_records
from penstock.ingest.files.parse.slow_path import KEPT, RecordParser, RejectedRecord
from penstock.ingest.files.parse.stream import Meter, blocks
from penstock.ingest.files.plan import Plan


def read_batches(
    file: BinaryIO,
    plan: Plan,
    offset: int,
    line: int,
    meter: Meter | None = None,
    above: Mapping[str, str | None] | None = None,
) -> Iterator[ParsedBatch]:
    """Yield the batches of a file in order, without gaps; raises `BadFile` when it cannot be read further.

    `above` is what the batch before `offset` said, of a plan that carries values down.
    """
    content = _content(file, plan, offset, meter)
    parser = RecordParser(plan)
    if plan.is_computed:
        computed = ComputedRecords(plan, parser, above)
        for suspect in _suspects(content, plan, offset, line):
            yield replace(_parsed(suspect, computed.parse), above=computed.above if plan.carried else None)
    elif plan.is_table:
        for parsed in Splitter(_patterns(plan), offset, line).split(content):
            yield _parsed(parsed, parser.parse) if isinstance(parsed, SuspectRecord) else _untouched(parsed)
    else:
        records = Records(plan, parser)
        for suspect in suspect_records(content, plan, offset, line):
            yield _parsed(suspect, records.parse)


def read_texts(file: BinaryIO, plan: Plan, name: str) -> Iterator[str]:
    """What a field of a computed plan is made of, in every record that is wanted and can be read."""
    computed = ComputedRecords(plan, RecordParser(plan))
    dialect = plan.dialect
    for suspect in _suspects(_content(file, plan, dialect.body, None), plan, dialect.body, dialect.first_line):
        data = computed.content(suspect)
        with suppress(InvalidValue):
            if (
                data.strip()
                and computed.is_wanted(row := computed.row(suspect, data))
                and (text := computed.text(name, row))
            ):
                yield text


def _content(file: BinaryIO, plan: Plan, offset: int, meter: Meter | None) -> Iterator[bytes]:
    dialect = plan.dialect
    return blocks(
        file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom, offset=offset, meter=meter
    )


def _suspects(content: Iterator[bytes], plan: Plan, offset: int, line: int) -> Iterator[SuspectRecord]:
    """Every record by itself."""
    if plan.dialect.format != "csv":
        yield from suspect_records(content, plan, offset, line)
        return
    for parsed in Splitter(_patterns(plan), offset, line).split(content):
        assert isinstance(parsed, SuspectRecord), "the pattern for good records matches nothing"
        yield parsed


def _patterns(plan: Plan) -> RecordPatterns:
    dialect = plan.dialect
    columns = () if plan.is_computed else plan.columns
    quote, delimiter, line_end = (text.encode() for text in (dialect.quote, dialect.delimiter, dialect.line_end))
    return build_patterns(columns, delimiter, line_end, quote, escape=dialect.escape, width=len(dialect.header))


def _untouched(batch: RecordBatch) -> ParsedBatch:
    return ParsedBatch(batch.data, batch.lines, batch.line, batch.offset + len(batch.data), batch.line + batch.lines)


def _parsed(suspect: SuspectRecord, parse: Callable[[SuspectRecord], bytes | RejectedRecord | None]) -> ParsedBatch:
    result = parse(suspect)
    end, next_line = suspect.offset + suspect.size, suspect.line + suspect.lines
    if isinstance(result, RejectedRecord):
        return ParsedBatch(b"", 0, suspect.line, end, next_line, result)
    return ParsedBatch(result or b"", int(result is not None), suspect.line, end, next_line, origin=suspect.data[:KEPT])
