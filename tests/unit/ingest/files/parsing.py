"""Bytes to rows without a database, for tests of how files are read."""

import csv
import io
from typing import Any

from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.batch import ParsedBatch
from penstock.ingest.files.parse.dates import infer_date_formats
from penstock.ingest.files.parse.dialect import sniff
from penstock.ingest.files.parse.reader import read_batches
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planning import make_plan
from penstock.ingest.files.target import Target


def planned(target: Target, content: bytes, **options: Any) -> tuple[Plan, list[ParsedBatch]]:
    file = io.BytesIO(content)
    checked = Options.read(options)
    plan = infer_date_formats(file, make_plan(target, sniff(file, checked), checked))
    return plan, list(read_batches(file, plan, plan.dialect.body, plan.dialect.first_line))


def values(target: Target, content: bytes, **options: Any) -> list[dict[str, str]]:
    """The accepted records by field; what is empty is left out."""
    plan, batches = planned(target, content, **options)
    data = b"".join(batch.data for batch in batches).decode()
    rows = list(csv.reader(io.StringIO(data, newline=""), delimiter=plan.dialect.delimiter, strict=True))
    assert sum(batch.records for batch in batches) == len(rows)
    names = [column.field for column in plan.columns]
    return [{name: text for name, text in zip(names, row, strict=True) if name and text} for row in rows]


def refused(target: Target, content: bytes, **options: Any) -> list[tuple[int, str, str | None, str]]:
    """(line, outcome, field, reason) of the others."""
    _, batches = planned(target, content, **options)
    found = [batch.reject for batch in batches if batch.reject]
    return [(reject.line, reject.outcome, reject.field, reject.reason) for reject in found]
