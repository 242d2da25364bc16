"""A stored file as parsed batches: records for COPY and rejects, from any offset on."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO, Final

from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.computed import ComputedRecords, CutRecord
from penstock.ingest.files.parse.fast_path import RecordBatch, RecordPatterns, Splitter, SuspectRecord, build_patterns
from penstock.ingest.files.parse.field_type import InvalidValue
from penstock.ingest.files.parse.joins import Lookup
from penstock.ingest.files.parse.jsonl import Records, suspect_records
from penstock.ingest.files.parse.slow_path import KEPT, RecordParser, RejectedRecord
from penstock.ingest.files.parse.stream import BadFile, Meter, blocks
from penstock.ingest.files.plan import Plan

RECORDS_AT_ONCE: Final = 1000
BYTES_AT_ONCE: Final = 1 << 20
"""So many records are looked up in a joined file with one query."""


def read_batches(
    file: BinaryIO,
    plan: Plan,
    offset: int,
    line: int,
    meter: Meter | None = None,
    above: Mapping[str, str | None] | None = None,
    lookup: Lookup | None = None,
) -> Iterator[ParsedBatch]:
    """Yield the batches of a file in order, without gaps; raises `BadFile` when it cannot be read further.

    `above` is what the batch before `offset` said, of a plan that carries values down; `lookup` finds the records of
    joined files.
    """
    content = _content(file, plan, offset, meter)
    parser = RecordParser(plan)
    if plan.is_computed:
        computed = ComputedRecords(plan, parser, above)
        carried = computed.above
        for suspect, record in _cut(computed, _suspects(content, plan, offset, line), lookup):
            carried = record.above if record else carried
            result = _result(suspect, computed.parse(record) if record else None)
            matched = record.matched if record else ()
            yield replace(result, above=carried if plan.carried else None, matched=matched)
    elif plan.is_table:
        for parsed in Splitter(_patterns(plan), offset, line).split(content):
            yield _parsed(parsed, parser.parse) if isinstance(parsed, SuspectRecord) else _untouched(parsed)
    else:
        records = Records(plan, parser)
        for suspect in suspect_records(content, plan.dialect, offset, line):
            yield _parsed(suspect, records.parse)


def read_texts(file: BinaryIO, plan: Plan, name: str, lookup: Lookup | None = None) -> Iterator[str]:
    """What a field of a computed plan is made of, in every record that is wanted and can be read."""
    computed = ComputedRecords(plan, RecordParser(plan))
    for _, record in _cut(computed, _all_suspects(file, plan), lookup):
        with suppress(InvalidValue):
            if record and record.row and computed.is_wanted(record.row) and (text := computed.text(name, record.row)):
                yield text


def read_records(file: BinaryIO, plan: Plan) -> Iterator[CutRecord]:
    """Every record of a file by its columns, also those that cannot be cut into them."""
    computed = ComputedRecords(plan, RecordParser(plan))
    return (record for suspect in _all_suspects(file, plan) if (record := computed.cut(suspect)))


def _cut(
    computed: ComputedRecords, suspects: Iterator[SuspectRecord], lookup: Lookup | None
) -> Iterator[tuple[SuspectRecord, CutRecord | None]]:
    """Each record by its columns, and those of the records that are joined to it; None for a blank line."""
    for group in _groups(suspects) if lookup else ([suspect] for suspect in suspects):
        records = [computed.cut(suspect) for suspect in group]
        if lookup and group:
            computed.join([record for record in records if record], lookup)
        yield from zip(group, records, strict=True)


def _groups(suspects: Iterator[SuspectRecord]) -> Iterator[list[SuspectRecord]]:
    """So many at once as one query looks up; what comes before a fault of the file is given before it is raised."""
    group: list[SuspectRecord] = []
    size = 0
    try:
        for suspect in suspects:
            group.append(suspect)
            size += len(suspect.data)
            if len(group) >= RECORDS_AT_ONCE or size >= BYTES_AT_ONCE:
                yield group
                group, size = [], 0
    except BadFile:
        yield group
        raise
    yield group


def _all_suspects(file: BinaryIO, plan: Plan) -> Iterator[SuspectRecord]:
    dialect = plan.dialect
    return _suspects(_content(file, plan, dialect.body, None), plan, dialect.body, dialect.first_line)


def _content(file: BinaryIO, plan: Plan, offset: int, meter: Meter | None) -> Iterator[bytes]:
    dialect = plan.dialect
    return blocks(
        file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom, offset=offset, meter=meter
    )


def _suspects(content: Iterator[bytes], plan: Plan, offset: int, line: int) -> Iterator[SuspectRecord]:
    """Every record by itself."""
    if plan.dialect.format != "csv":
        yield from suspect_records(content, plan.dialect, offset, line)
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
    return _result(suspect, parse(suspect))


def _result(suspect: SuspectRecord, result: bytes | RejectedRecord | None) -> ParsedBatch:
    end, next_line = suspect.offset + suspect.size, suspect.line + suspect.lines
    if isinstance(result, RejectedRecord):
        return ParsedBatch(b"", 0, suspect.line, end, next_line, result)
    return ParsedBatch(result or b"", int(result is not None), suspect.line, end, next_line, origin=suspect.data[:KEPT])
