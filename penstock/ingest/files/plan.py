"""How one file is read into one target: each column's field and type, the constants and the defaults.

Made once (`planning.py`), when an import begins, from the file's dialect and the caller's options; kept with the
import as JSON and shown on request, so that nothing is assumed in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.joins import Join
from penstock.ingest.files.parse.sources import carried_columns, columns_of, is_column
from penstock.ingest.files.parse.types import NEVER, FieldType, InvalidValue, Number, Text, Timestamp
from penstock.ingest.files.target import Table, Target, find_target
from penstock.settings import Settings

IGNORED = Text(at_most=1 << 20)


@dataclass(frozen=True)
class _Nothing(FieldType):
    """The column behind the last one, where lines end with a delimiter: text in it means one delimiter too many."""

    @property
    def sql_type(self) -> str:
        return "text"

    @property
    def core(self) -> bytes:
        return NEVER

    def read(self, text: str) -> str:
        raise InvalidValue("text after the last column")


NOTHING = _Nothing()


@dataclass(frozen=True)
class Column:
    """One column of the file. Without a field it is passed over."""

    name: str
    field: str | None
    field_type: FieldType
    required: bool
    exact: bool

    def bare(self, delimiter: bytes) -> bytes:
        return self.field_type.bare(delimiter, exact=self.exact)

    def quoted(self) -> bytes:
        return self.field_type.quoted(exact=self.exact)


@dataclass(frozen=True)
class Plan:
    """`fields` says for each column of the file which field it is, or None.

    Where `sources` say what each field is made of, or `rows` which records are wanted, the plan is computed: `fields`
    are those that get a value, and every record takes the slow path.
    """

    target_name: str
    dialect: Dialect
    fields: tuple[str | None, ...]
    constants: Mapping[str, str]
    defaults: Mapping[str, str]
    dates: Mapping[str, str | Sequence[str]]
    decimal: str | None  # None where nobody has said it: a point
    profile: str | None
    keys: Mapping[str, str]  # of JSON records: {key: field} where the caller said so
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    zone: str | None = None
    joins: Sequence[Join] = ()
    also: Sequence[str] = ()  # names of the target's variants
    unused_keys: Sequence[str] = ()  # of JSON records, as far as the first ones show them

    @cached_property
    def header(self) -> tuple[str, ...]:
        """The file's columns and those of the files that are joined to it; of JSON objects none."""
        return with_joined(self.dialect.header, self.joins)

    def zone_or(self, settings: Settings) -> str:
        """The zone of the file's own times: what it was said to be, else the business's."""
        return self.zone or settings.timezone

    @cached_property
    def target(self) -> Target:
        return find_target(self.target_name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order in which they are handed to COPY."""
        names = self.dialect.header if self.is_table and not self.is_computed else self.fields
        last = len(names) - 1 if self.dialect.trailing and not self.is_computed else None
        return tuple(
            self._column(str(name), field, place == last)
            for place, (name, field) in enumerate(zip(names, self.fields, strict=True))
        )

    @property
    def is_table(self) -> bool:
        """Whether the file's columns have names: CSV, or JSON whose records are arrays."""
        return bool(self.dialect.header)

    @property
    def is_computed(self) -> bool:
        return bool(self.sources)

    @cached_property
    def carried(self) -> dict[str, str | None]:
        """The columns in which an empty cell has the value above, each with the column within which."""
        return carried_columns([*self.sources.values(), *self.rows])

    @cached_property
    def unused(self) -> list[str]:
        """The file's columns, or its records' keys, that no field takes."""
        if not self.is_table:
            return list(self.unused_keys)
        if not self.is_computed:
            return [column.name for column in self.columns if column.field is None and column.name]
        if any("rest" in source for source in self.sources.values()):
            return []
        used = {name for source in self.sources.values() for name in columns_of(source)}
        used |= {source["from"] for source in self.sources.values() if "from" in source}
        used |= {name for join in self.joins for name in join.on} | {wanted["column"] for wanted in self.rows}
        return [name for name in self.header if name and name not in used]

    @property
    def fields_of_columns(self) -> dict[str, str | None]:
        """{column: field} of the file's columns; of a computed plan those that a field is made of."""
        if not self.is_computed:
            return dict(zip([column.name for column in self.columns], self.fields, strict=True))
        return {column: name for name, source in self.sources.items() for column in columns_of(source)}

    @property
    def is_direct(self) -> bool:
        """Rows go to their table as they are, without a view that reads them."""
        return isinstance(self.target.into, Table)

    @cached_property
    def date_style(self) -> str:
        """The order of day and month by which COPY reads this file; ISO 8601 is read the same in either."""
        written = [self.dates[name] for name in self.fields if name and name in self.dates]
        styles = (_as_written(Timestamp(), formats).own_date_style for formats in written)
        return next((style for style in styles if style), "YMD")

    def field_type_of(self, name: str) -> FieldType:
        field_type = self.target.by_name[name].field_type
        profile = next((item for item in self.target.profiles if item.name == self.profile), None)
        for variant in self.also:
            field_type = self.target.variants[variant].get(name, field_type)
        if profile and name in profile.field_types:
            field_type = profile.field_types[name]
        if isinstance(field_type, Timestamp) and name in self.dates:
            return replace(_as_written(field_type, self.dates[name]), date_style=self.date_style)
        if isinstance(field_type, Number) and self.decimal:
            return replace(field_type, comma=self.decimal == ",", point=self.decimal == ".")
        return field_type

    @cached_property
    def required(self) -> frozenset[str]:
        names = {item.name for item in self.target.fields if item.required}
        given = {*self.fields, *self.constants}
        for choice in self.target.one_of if self.is_table else ():
            there = [name for name in choice if name in given]
            if len(there) > 1 and self.target.check:
                continue  # which of them a record has is for the check to see
            # who gives the first gives what counts
            names.add(there[0] if there else choice[0])
        return frozenset(names - set(self.constants) - set(self.defaults))

    def _column(self, name: str, field: str | None, is_trailing: bool) -> Column:
        if field is None:
            return Column(name, None, NOTHING if is_trailing else IGNORED, required=False, exact=False)
        return Column(name, field, self.field_type_of(field), field in self.required, exact=self.is_direct)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        lists = {name: tuple(value["dialect"].get(name, ())) for name in ("header", "notes")}
        dialect = Dialect(**{**value["dialect"], **lists})
        joins = [Join(**join) for join in value.get("joins", ())]
        return cls(**{**value, "dialect": dialect, "fields": tuple(value["fields"]), "joins": joins})

    def described(self) -> dict[str, Any]:
        """The plan as it is shown: {column: field}, what was assumed, what is left out."""
        is_csv = self.dialect.format == "csv"
        computed = {name: source for name, source in self.sources.items() if not is_column(source)}
        return {
            "format": self.dialect.format,
            "encoding": self.dialect.encoding,
            "gzip": self.dialect.compressed,
            "container": self.dialect.container,
            "sheet": self.dialect.sheet,
            "delimiter": self.dialect.delimiter if is_csv else None,
            "quote": (self.dialect.quote or "none") if is_csv else None,
            "escape": "backslash" if self.dialect.escape else None,
            "mapping": self._pairs(),
            "fields": {name: _shown(source) for name, source in computed.items() if "any" not in source},
            "rows": [dict(wanted) for wanted in self.rows],
            "joins": [join.described() for join in self.joins],
            "constants": dict(self.constants),
            "defaults": dict(self.defaults),
            "types": {
                column.field: type(column.field_type).__name__.lower() for column in self.columns if column.field
            },
            "dates": dict(self.dates),
            "zone": self.zone,
            "also": list(self.also),
            "decimal": self.decimal or ".",
            "profile": self.profile,
            "notes": list(self.dialect.notes),
        }

    def _pairs(self) -> dict[str, str | None]:
        """{column: field}, of every column that is a field as it is, and of those that are none."""
        if not self.is_computed:
            return self.fields_of_columns
        taken: dict[str, str | None] = {
            source["column"]: name for name, source in self.sources.items() if is_column(source)
        }
        if not self.is_table:
            return taken | {name: name for name, source in self.sources.items() if "any" in source}
        pairs = {name: taken.get(name) for name in self.header}
        return {name: field for name, field in pairs.items() if field or name in self.unused}


def with_joined(header: Sequence[str], joins: Sequence[Join]) -> tuple[str, ...]:
    return (*header, *(column for join in joins for column in join.columns)) if header else ()


def _as_written(field_type: Timestamp, formats: str | Sequence[str]) -> Timestamp:
    first, *others = [formats] if isinstance(formats, str) else formats
    return replace(field_type, format=first, others=tuple(others))


def _shown(source: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in source.items() if key != "without"}
