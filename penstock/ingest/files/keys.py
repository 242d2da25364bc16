"""The keys of JSON records that no field takes. JSON has no header, so the first records say what keys there are."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import BinaryIO, Final

from penstock.ingest.files.parse.fast_path import SuspectRecord
from penstock.ingest.files.parse.jsonl import bare, names_taken, read_object, suspect_records
from penstock.ingest.files.parse.sources import columns_of
from penstock.ingest.files.parse.stream import BadFile, blocks
from penstock.ingest.files.parse.types import InvalidValue
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planning import check_unsaid
from penstock.ingest.files.target import folded

RECORDS: Final = 100
"""So many are looked at."""


def unused_keys(file: BinaryIO, plan: Plan) -> tuple[str, ...]:
    """In the order in which they come; none of a table, and none where a field takes all the rest."""
    if plan.is_table or any("rest" in source for source in plan.sources.values()):
        return ()
    taken = _taken(plan)
    keys = dict.fromkeys(key for suspect in _first(file, plan) for key in _keys(suspect))
    return tuple(key for key in keys if folded(key) not in taken)


def check_keys(file: BinaryIO, plan: Plan) -> None:
    """Raise `InvalidInput` if the settings could say a field of all records, and neither they nor a key does."""
    if plan.is_table or not plan.required.intersection(plan.target.settings_defaults):
        return
    records = _first(file, plan)
    known = {folded(key) for suspect in records for key in _keys(suspect)}
    if records:
        check_unsaid(plan, [name for name in plan.target.settings_defaults if _names_of(plan, name) & known])


def _names_of(plan: Plan, field: str) -> set[str]:
    """The keys by which a record may give the field, folded."""
    if not plan.is_computed:
        return {name for name, place in names_taken(plan).items() if plan.columns[place].field == field}
    source = plan.sources.get(field, {})
    path = source["path"].split(".")[:1] if "path" in source else ()
    return {folded(name) for name in (*columns_of(source), *source.get("any", ()), *path)}


def _taken(plan: Plan) -> set[str]:
    if not plan.is_computed:
        return set(names_taken(plan))
    names = [name for source in (*plan.sources.values(), *plan.rows) for name in columns_of(source)]
    for source in plan.sources.values():
        names += [*source.get("any", ()), source.get("path", "").split(".")[0]]
    return {folded(name) for name in names}


def _first(file: BinaryIO, plan: Plan) -> list[SuspectRecord]:
    dialect = plan.dialect
    content = blocks(file, compressed=dialect.compressed, encoding=dialect.encoding, bom=dialect.bom)
    found: list[SuspectRecord] = []
    with suppress(BadFile):  # an error of the import itself, once it gets there
        found.extend(islice(suspect_records(content, dialect, 0, 1), RECORDS))
    return found


def _keys(suspect: SuspectRecord) -> Iterator[str]:
    with suppress(InvalidValue):  # a reject, or a blank line
        yield from read_object(bare(suspect))
