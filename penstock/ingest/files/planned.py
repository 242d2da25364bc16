"""From a file and what its caller says to a plan: how it is read, what is joined to it, how its times are written."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from penstock.errors import InvalidInput
from penstock.ingest.files.keys import check_keys, unused_keys
from penstock.ingest.files.load.joined import JoinTables
from penstock.ingest.files.opened import open_stored
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dates import infer_date_formats
from penstock.ingest.files.parse.dialect import Dialect, sniff
from penstock.ingest.files.parse.joins import FRAMING, Join, Lookup, make_join
from penstock.ingest.files.parse.reader import read_records
from penstock.ingest.files.parse.stream import BadFile
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.planning import check_names, make_plan
from penstock.ingest.files.reading import Reading, choose_reading
from penstock.ingest.files.storage.stored_files import store_file
from penstock.ingest.files.target import find_target
from penstock.postgres.pool import Connection
from penstock.settings import Settings


@dataclass(frozen=True)
class _JoinedFile:
    join: Join
    dialect: Dialect
    sheet: str | None


def store_joined(
    settings: Settings, options: Mapping[str, Any], sources: Mapping[str, Path | bytes | BinaryIO]
) -> dict[str, Any]:
    """The options with the hash of each joined file that is among `sources` ({the entry's `file`: its content})."""
    entries = []
    for entry in Options.read(options).join:
        if entry["file"] in sources and "sha256" not in entry:
            entry = {**entry, "sha256": store_file(settings, sources[entry["file"]]).sha256}
        entries.append({**entry, "file": Path(entry["file"]).name})
    return {**options, "join": entries} if entries else dict(options)


def plan_file(
    connection: Connection,
    settings: Settings,
    target: str,
    file: BinaryIO,
    options: Options,
    import_id: UUID,
    from_settings: Mapping[str, str],
    most: int | None = None,
) -> tuple[Reading, Plan]:
    """Raises `InvalidInput` or `BadFile`. Joined files are read here, once, into tables of the import.

    `from_settings` is what `Target.said_by` gave when the import was asked for.
    `most`: so many values of a time column are asked how they are written, not all of them.
    """
    check_names(find_target(target), options)
    joined = [_open_joined(settings, place, entry) for place, entry in enumerate(options.join)]
    joins = [each.join for each in joined]
    reading = choose_reading(connection, target, file, options, joins)
    with reading.explained():
        plan = make_plan(find_target(target), reading.dialect, reading.options, joins, from_settings)
        check_keys(file, plan)
        if joined:
            plan = replace(plan, joins=_fill(connection, settings, import_id, joined))
        plan = infer_date_formats(file, plan, most=most, lookup=lookup_of(connection, import_id, plan))
    return reading, replace(plan, unused_keys=unused_keys(file, plan))


def lookup_of(connection: Connection, import_id: UUID, plan: Plan) -> Lookup | None:
    """What finds the records of joined files; it must not be asked while the connection is copying."""
    return partial(JoinTables(import_id, plan.joins).find, connection) if plan.joins else None


def _open_joined(settings: Settings, place: int, entry: Mapping[str, Any]) -> _JoinedFile:
    sheet = entry.get("sheet")
    said = Options.read({name: entry[name] for name in FRAMING if name in entry})
    with _named(entry["file"]), open_stored(settings, entry["sha256"], sheet) as file:
        dialect = sniff(file, said)
    if not dialect.header:
        raise InvalidInput(f"{entry['file']} is not a table", field=f"join.{place}.file")
    return _JoinedFile(make_join(entry, place, dialect.header), dialect, sheet)


def _fill(connection: Connection, settings: Settings, import_id: UUID, joined: Sequence[_JoinedFile]) -> list[Join]:
    """Stage the records, unless another worker has begun to use those that it has staged."""
    joins = [each.join for each in joined]
    tables = JoinTables(import_id, joins)
    with connection.transaction():
        connection.execute("set local statement_timeout = 0")
        row = connection.execute("select state from raw.imports where id = %s for update", (import_id,)).fetchone()
        if row and row[0] != "waiting":
            return joins
        filled = []
        for place, each in enumerate(joined):
            with _named(each.join.file), open_stored(settings, each.join.sha256, each.sheet) as file:
                filled.append(tables.fill(connection, place, read_records(file, _rows_of(each.dialect))))
    return filled


@contextmanager
def _named(name: str) -> Iterator[None]:
    """What is wrong with a joined file is said with its name."""
    try:
        yield
    except BadFile as error:
        raise BadFile(f"{name}: {error}", field="join") from error


def _rows_of(dialect: Dialect) -> Plan:
    """A plan that cuts records into columns and does nothing else with them: any target's will do."""
    return Plan("events", dialect, (), {}, {}, {}, None, None, {}, {"payload": {"rest": True}})
