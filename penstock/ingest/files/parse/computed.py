"""Records of which a field is more than one column as it is: filtered, carried down, looked up, then read as usual.

Every record is cut into its cells, or its JSON parsed; the filters say whether it is wanted, the sources give a text
for each field, and the slow path checks and writes those. Broken records leave the carried columns unknown: an empty
cell below one is refused, not filled from further above.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from penstock.ingest.files.parse.fast_path import SuspectRecord
from penstock.ingest.files.parse.field_type import InvalidValue
from penstock.ingest.files.parse.filters import compile_filter
from penstock.ingest.files.parse.joins import Join, Lookup, key_of, shown_key
from penstock.ingest.files.parse.jsonl import bare, read_array, read_object
from penstock.ingest.files.parse.slow_path import KEPT, FieldRefused, RecordParser, RejectedRecord
from penstock.ingest.files.parse.sources import Row, compile_source
from penstock.ingest.files.parse.types import Identifier
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import folded


@dataclass
class _Keys(Row):
    """A JSON object, whose keys are compared without case, blanks and punctuation: the first with a value counts."""

    folded: Mapping[str, str] = field(default_factory=dict)

    def key(self, column: str) -> str:
        return self.folded.get(folded(column), column)


@dataclass
class CutRecord:
    """A record cut into its columns, or why it cannot be; `above` is where it leaves the carried columns.

    `matched` has for each joined file the key by which there is a record of it, or None.
    """

    suspect: SuspectRecord
    data: bytes
    row: Row | None
    fault: InvalidValue | None
    above: Mapping[str, str | None]
    matched: Sequence[str | None] = ()


class ComputedRecords:
    """Parses records of one plan. `above` is where reading leaves the carried columns; it is never changed in place."""

    def __init__(self, plan: Plan, parser: RecordParser, above: Mapping[str, str | None] | None = None) -> None:
        self._plan = plan
        self._parser = parser
        joined = {column for join in plan.joins for column in join.columns}
        self._filters = [compile_filter(wanted) for wanted in plan.rows if wanted["column"] not in joined]
        self._joined_filters = [compile_filter(wanted) for wanted in plan.rows if wanted["column"] in joined]
        self._cells = {
            name: compile_source(
                plan.sources[name],
                every=name in plan.required,
                is_key=isinstance(plan.field_type_of(name), Identifier),
            )
            for name in plan.fields
            if name
        }
        self._kept = list(dict.fromkeys([*plan.carried, *filter(None, plan.carried.values())]))
        self._header = plan.dialect.header
        self._read = self._columns if plan.dialect.format == "csv" else self._array if plan.is_table else self._object
        self.above: Mapping[str, str | None] = above or {}

    def cut(self, suspect: SuspectRecord) -> CutRecord | None:
        """The record by its columns; None for a blank line, which is not a record."""
        data = self.content(suspect)
        if not data.strip():
            return None
        row = fault = None
        try:
            row = self.row(suspect, data)
        except InvalidValue as error:
            fault = error
        return CutRecord(suspect, data, row, fault, self.above)

    def join(self, records: Sequence[CutRecord], lookup: Lookup) -> None:
        """Give the records the columns of those that belong to them in the joined files: one query for each file."""
        for place, join in enumerate(self._plan.joins):
            keys = [self._key(record.row, join) if record.row else None for record in records]
            found = lookup(place, sorted({key for key in keys if key is not None}))
            for record, key in zip(records, keys, strict=True):
                cells = found.get(key) if key is not None else None
                record.matched = [*record.matched, None if cells is None else key]
                if record.row is None:
                    continue
                record.row.values = {**record.row.values, **dict(zip(join.columns, cells or (), strict=False))}
                if cells is None and join.required and record.row.unmatched is None:
                    named = " and ".join(join.on)
                    what = f"{named} {shown_key(key)} is not in" if key else f"{named} is empty: nothing to find in"
                    record.row.unmatched = f"{what} {join.file}"

    def _key(self, row: Row, join: Join) -> str | None:
        try:
            return key_of(
                [row.text_from_above(name) if name in self._plan.carried else row.text(name) for name in join.on]
            )
        except InvalidValue:  # of the line above, which could not be read
            return None

    def parse(self, record: CutRecord) -> bytes | RejectedRecord:
        """The record for COPY, or why not."""
        suspect, data, row = record.suspect, record.data, record.row
        try:
            if row is None:
                raise record.fault or InvalidValue("cannot be read")
            for reason in self._unwanted(row):
                return RejectedRecord(suspect.line, suspect.offset, None, reason, data[:KEPT], "skipped")
            return self._parser.write([self.text(name, row) for name in self._cells])
        except InvalidValue as error:
            return self._parser.reject(suspect, data, self._readable(row) if row else [], error)

    def _readable(self, row: Row) -> list[str | None]:
        """A text for each field, as far as there is one."""
        texts: list[str | None] = []
        for name in self._cells:
            try:
                texts.append(self.text(name, row))
            except InvalidValue:
                texts.append(None)
        return texts

    def row(self, suspect: SuspectRecord, data: bytes) -> Row:
        """The record by its columns; raises `InvalidValue` where it cannot be cut into them."""
        try:
            row = self._read(suspect, data)
        except InvalidValue:
            self.above = dict.fromkeys(self._kept)
            raise
        new = {column: text for column in self._kept if (text := row.text(column)) is not None}
        if new:
            left = {column for column, group in self._plan.carried.items() if group and self._begins(group, new)}
            self.above = {column: text for column, text in self.above.items() if column not in left} | new
        row.above = self.above
        return row

    def _begins(self, group: str, new: Mapping[str, str]) -> bool:
        """Whether the record is of another group than the one above, as far as that could be read."""
        before = self.above.get(group)
        return before is not None and group in new and new[group] != before

    def text(self, name: str, row: Row) -> str | None:
        """What the field is made of, in this row."""
        try:
            return self._cells[name](row)
        except InvalidValue as error:
            raise FieldRefused(name, str(error)) from error

    def is_wanted(self, row: Row) -> bool:
        return not any(self._unwanted(row))

    def _unwanted(self, row: Row) -> Iterator[str]:
        """Why the row is not wanted; raises `InvalidValue` if that cannot be known, for want of a joined record."""
        yield from (reason for wanted in self._filters if (reason := wanted(row)))
        if row.unmatched:
            raise InvalidValue(row.unmatched)
        yield from (reason for wanted in self._joined_filters if (reason := wanted(row)))

    def content(self, suspect: SuspectRecord) -> bytes:
        """The record without what separates it from others."""
        return self._parser.content(suspect) if self._plan.dialect.format == "csv" else bare(suspect)

    def _columns(self, suspect: SuspectRecord, data: bytes) -> Row:
        cells = self._parser.cells(suspect, data)
        if self._plan.dialect.trailing and cells.pop():
            raise InvalidValue("text after the last column")
        return self._named(cells)

    def _array(self, suspect: SuspectRecord, data: bytes) -> Row:
        return self._named(read_array(_whole(suspect, data), len(self._header)))

    def _object(self, suspect: SuspectRecord, data: bytes) -> Row:
        record = read_object(_whole(suspect, data))
        return _Keys(record, folded={folded(key): key for key in reversed(record) if record[key] is not None})

    def _named(self, values: Sequence[object]) -> Row:
        """A column without a name is called by its place, so that no value is lost."""
        names = (name or f"column_{place}" for place, name in enumerate(self._header, 1))
        return Row({name: None if value == "" else value for name, value in zip(names, values, strict=False)})


def _whole(suspect: SuspectRecord, data: bytes) -> bytes:
    if suspect.fault:
        raise InvalidValue(suspect.fault)
    return data
