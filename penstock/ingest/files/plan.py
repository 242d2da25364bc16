"""How one file is read into one target: each column's field and type, the constants and the defaults.

Made once, when an import begins, from the file's dialect and the caller's options; kept with the import as JSON and
shown on request, so that nothing is assumed in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dialect import Dialect
from penstock.ingest.files.parse.types import FieldType, InvalidValue, Number, Text, Timestamp
from penstock.ingest.files.target import Table, Target, find_target

IGNORED = Text(at_most=1 << 20)


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
    """`fields` says for each column of the file which field it is, or None."""

    target_name: str
    dialect: Dialect
    fields: tuple[str | None, ...]
    constants: Mapping[str, str]
    defaults: Mapping[str, str]
    dates: Mapping[str, str]
    decimal: str
    profile: str | None
    keys: Mapping[str, str]  # of JSON records: {key: field} where the caller said so

    @cached_property
    def target(self) -> Target:
        return find_target(self.target_name)

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """The columns in the order in which they are handed to COPY."""
        names = self.dialect.header if self.is_table else self.fields
        return tuple(self._column(str(name), field) for name, field in zip(names, self.fields, strict=True))

    @property
    def is_table(self) -> bool:
        return self.dialect.format == "csv"

    @property
    def is_direct(self) -> bool:
        """Rows go to their table as they are, without a view that reads them."""
        return isinstance(self.target.into, Table)

    @cached_property
    def date_style(self) -> str:
        """The order of day and month by which COPY reads this file; ISO 8601 is read the same in either."""
        styles = (Timestamp(self.dates[name]).own_date_style for name in self.fields if name and name in self.dates)
        return next((style for style in styles if style), "YMD")

    def field_type_of(self, name: str) -> FieldType:
        field_type = self.target.by_name[name].field_type
        profile = next((item for item in self.target.profiles if item.name == self.profile), None)
        if profile and name in profile.field_types:
            field_type = profile.field_types[name]
        if isinstance(field_type, Timestamp) and name in self.dates:
            return replace(field_type, format=self.dates[name], date_style=self.date_style)
        if isinstance(field_type, Number) and self.decimal == ",":
            return replace(field_type, comma=True)
        return field_type

    @cached_property
    def required(self) -> frozenset[str]:
        names = {item.name for item in self.target.fields if item.required}
        given = {*self.fields, *self.constants}
        for choice in self.target.one_of if self.is_table else ():
            # who gives the first gives what counts
            names.add(next((name for name in choice if name in given), choice[0]))
        return frozenset(names - set(self.constants) - set(self.defaults))

    def _column(self, name: str, field: str | None) -> Column:
        if field is None:
            return Column(name, None, IGNORED, required=False, exact=False)
        return Column(name, field, self.field_type_of(field), field in self.required, exact=self.is_direct)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Plan":
        dialect = Dialect(**{**value["dialect"], "header": tuple(value["dialect"]["header"])})
        return cls(**{**value, "dialect": dialect, "fields": tuple(value["fields"])})

    def described(self) -> dict[str, Any]:
        """The plan as it is shown: {column: field}, what was assumed, what is left out."""
        pairs = zip([column.name for column in self.columns], self.fields, strict=True)
        return {
            "format": self.dialect.format,
            "encoding": self.dialect.encoding,
            "gzip": self.dialect.compressed,
            "container": self.dialect.container,
            "sheet": self.dialect.sheet,
            "delimiter": self.dialect.delimiter if self.is_table else None,
            "mapping": dict(pairs),
            "constants": dict(self.constants),
            "defaults": dict(self.defaults),
            "types": {
                column.field: type(column.field_type).__name__.lower() for column in self.columns if column.field
            },
            "dates": dict(self.dates),
            "decimal": self.decimal,
            "profile": self.profile,
        }


def make_plan(target: Target, dialect: Dialect, options: Options) -> Plan:
    """Match columns to fields; raises `InvalidInput` that names what is missing, unknown or given twice."""
    _check_names(target, options)
    header = list(dialect.header)
    fields = _fields_of(target, header, options) if dialect.format == "csv" else _keys_of(target, options)
    profile = target.profile_of(header)
    constants = {**(profile.constants if profile else {}), **options.constants}
    given = {field for field in fields if field}
    constants = {name: value for name, value in constants.items() if name not in given or name in options.constants}
    plan = Plan(
        target.name,
        dialect,
        tuple(fields),
        constants,
        {**target.defaults, **options.defaults},
        options.dates,
        options.decimal,
        profile.name if profile else None,
        {key: field for key, field in options.mapping.items() if field} if dialect.format != "csv" else {},
    )
    _check_complete(plan, header)
    return _with_canonical_values(plan)


def _check_names(target: Target, options: Options) -> None:
    said: list[tuple[str, Sequence[str | None]]] = [
        ("mapping", list(options.mapping.values())),
        ("constants", list(options.constants)),
        ("defaults", list(options.defaults)),
        ("dates", list(options.dates)),
    ]
    for option, names in said:
        for name in names:
            if name is not None and name not in target.by_name:
                known = ", ".join(target.by_name)
                raise InvalidInput(f"{target.name} has no field {name[:80]!r}; it has {known}", field=option)


def _fields_of(target: Target, header: list[str], options: Options) -> list[str | None]:
    unknown = [name for name in options.mapping if name not in header]
    if unknown:
        raise InvalidInput(f"the file has no column {unknown[0][:80]!r}; it has {_listed(header)}", field="mapping")
    taken = {field for field in options.mapping.values() if field} | set(options.constants)
    free = [name for name in header if name not in options.mapping]
    mapping = {**target.recognise(free, taken), **options.mapping}
    fields = [mapping.get(name) for name in header]
    twice = [field for field in fields if field and fields.count(field) > 1]
    if twice:
        raise InvalidInput(f"two columns are mapped to {twice[0]}", field="mapping")
    both = [field for field in fields if field in options.constants]
    if both:
        raise InvalidInput(f"{both[0]} has a column and a constant", field="constants")
    return fields


def _keys_of(target: Target, options: Options) -> list[str | None]:
    """Of JSON records every field is looked for, under its own name, its synonyms or what the mapping says."""
    return [item.name for item in target.fields if item.name not in options.constants]


def _check_complete(plan: Plan, header: list[str]) -> None:
    if not plan.is_table:
        return
    missing = sorted(plan.required - set(plan.fields))
    if missing:
        raise InvalidInput(
            f"no column is recognised as {', '.join(missing)}; the file has {_listed(header)}: say which it is",
            field="mapping",
            missing=missing,
        )


def _with_canonical_values(plan: Plan) -> Plan:
    """Constants and defaults are checked as if they were in the file."""

    def checked(option: str, values: Mapping[str, str]) -> dict[str, str]:
        try:
            return {name: plan.field_type_of(name).read(value) for name, value in values.items()}
        except InvalidValue as error:
            raise InvalidInput(f"a value is {error}", field=option) from error

    return replace(plan, constants=checked("constants", plan.constants), defaults=checked("defaults", plan.defaults))


def _listed(header: Sequence[str]) -> str:
    return ", ".join(name[:60] for name in header[:20]) + (" …" if len(header) > 20 else "")
