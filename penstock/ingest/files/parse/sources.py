"""Where a field's value comes from, when it is more than one column as it is.

A source is an object with one of `column`, `columns` (with `join`), `first` (the first of several columns in which
there is something), `path` (of a JSON record: `repo.name`, `a.0.b`; of an array by a column or its place, `0.b`),
`constant` or `rest` (all that no other field takes, as a JSON object), and beside it `values` (a table of values, with
`else` for those that are not in it), `default`, and `blank: above` (an empty cell has the value of the cell above; with
`within`, as long as that column says the same).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, TypeAlias

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.parse.field_type import BLANKS, InvalidValue

ORIGINS: Final = ("column", "columns", "first", "path", "constant", "rest")
MAX_COLUMNS: Final = 20
SHOWN: Final = 80

Cell: TypeAlias = Callable[["Row"], str | None]


@dataclass
class Row:
    """One record: its values by the names of its columns, and for each carried column the last value that it had.

    `above` lacks a column of which no value has come yet; it has None where the last one could not be read.
    `unmatched` says which joined file that must have a record for this one has none.
    """

    values: Mapping[str, object]
    above: Mapping[str, str | None] = field(default_factory=dict)
    unmatched: str | None = None

    def key(self, column: str) -> str:
        """Under which the record has the column."""
        return column

    def text(self, column: str) -> str | None:
        return text_of(self.values.get(self.key(column)))

    def first(self, columns: Sequence[str]) -> str | None:
        """The first of the columns in which there is something."""
        return next((column for column in columns if self.text(column) is not None), None)

    def text_from_above(self, column: str) -> str | None:
        if (text := self.text(column)) is not None or column not in self.above:
            return text
        if (above := self.above[column]) is None:
            raise InvalidValue(f"{column} is empty, and the line above it could not be read")
        return above


def text_of(value: object) -> str | None:
    """A value of a cell or of JSON as a text without blanks around it; None where there is nothing."""
    if value is None or isinstance(value, str):
        return (value or "").strip(BLANKS) or None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return format(Decimal(repr(value)), "f")
    return str(value) if isinstance(value, int) else json_codec.dumps(value)


def check_source(option: str, given: object) -> dict[str, Any]:
    """The source as an object; raises `InvalidInput` that names `option`."""
    source: Any = {"column": given} if isinstance(given, str) else given
    if not isinstance(source, Mapping):
        raise InvalidInput("the name of a column or an object", field=option)
    origins = [origin for origin in ORIGINS if origin in source]
    if len(origins) != 1:
        raise InvalidInput(f"must have one of {', '.join(ORIGINS)}", field=option)
    allowed = {origins[0], *_BESIDE[origins[0]]}
    unknown = sorted(str(key) for key in source if key not in allowed)
    if unknown:
        raise InvalidInput(f"{unknown[0][:SHOWN]!r} does not go with {origins[0]}", field=option)
    _CHECKS[origins[0]](f"{option}.{origins[0]}", source[origins[0]])
    for key in ("join", "default"):
        if key in source:
            check_text(f"{option}.{key}", source[key])
    _check_values(option, source)
    check_blank(option, source)
    return dict(source)


def check_blank(option: str, said: Mapping[str, Any]) -> None:
    """`blank` and `within`, of a source or of a filter."""
    if said.get("blank", "above") != "above":
        raise InvalidInput("the one word there is: above", field=f"{option}.blank")
    if "within" in said:
        check_text(f"{option}.within", said["within"])
        if "blank" not in said:
            raise InvalidInput("goes with blank", field=f"{option}.within")


def is_column(source: Mapping[str, Any]) -> bool:
    """Whether it is one column as it is; a default is for SQL to fill in."""
    return set(source) <= {"column", "default"}


def columns_of(source: Mapping[str, Any]) -> list[str]:
    return [source["column"]] if "column" in source else list(source.get("columns", source.get("first", ())))


def carried_columns(said: Sequence[Mapping[str, Any]]) -> dict[str, str | None]:
    """The columns in which an empty cell has the value above, each with the column within which; sources and filters.

    Raises `InvalidInput` if a column is to be carried in two ways.
    """
    carried: dict[str, str | None] = {}
    for each in said:
        for name in columns_of(each) if each.get("blank") else ():
            if carried.setdefault(name, each.get("within")) != each.get("within"):
                raise InvalidInput(f"{name[:SHOWN]!r} is carried down within two columns", field="fields")
    return carried


def respelled(value: Any, spelled: Mapping[str, str]) -> Any:
    """Sources or filters, at any depth, whose columns are called as `spelled` says."""
    if isinstance(value, list):
        return [respelled(item, spelled) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: spelled.get(item, item)
        if key in {"column", "within"} and isinstance(item, str)
        else [spelled.get(name, name) for name in item]
        if key in {"columns", "first"}
        else respelled(item, spelled)
        for key, item in value.items()
    }


def compile_source(source: Mapping[str, Any], *, every: bool, is_key: bool = False) -> Cell:
    """What gives the field's text for a row.

    `every`: of several columns none may be empty. `is_key`: two records with other parts must not have one text.
    """
    cell = _cell(source, every, is_key)
    if "values" not in source:
        return cell
    return _Lookup(cell, source["values"], "else" in source, source.get("else"))


def check_text(option: str, value: object) -> None:
    if not isinstance(value, str):
        raise InvalidInput("a text", field=option)
    if "\x00" in value:
        raise InvalidInput("a NUL character", field=option)


def check_texts(option: str, value: object, at_most: int) -> None:
    if not isinstance(value, Sequence) or isinstance(value, str) or not 0 < len(value) <= at_most:
        raise InvalidInput(f"a list of 1 to {at_most} texts", field=option)
    for item in value:
        check_text(option, item)


def _check_columns(option: str, value: object) -> None:
    check_texts(option, value, MAX_COLUMNS)


def _check_path(option: str, value: object) -> None:
    check_text(option, value)
    if not all(str(value).split(".")):
        raise InvalidInput("names or numbers with a point between them, such as repo.name or items.0.sku", field=option)


def _check_rest(option: str, value: object) -> None:
    if value is not True:
        raise InvalidInput("true", field=option)


def _check_values(option: str, source: Mapping[str, Any]) -> None:
    if "else" in source and "values" not in source:
        raise InvalidInput("goes with values", field=f"{option}.else")
    table = source.get("values", {})
    if not isinstance(table, Mapping):
        raise InvalidInput("an object of texts", field=f"{option}.values")
    for key, value in (*table.items(), ("else", source.get("else"))):
        check_text(f"{option}.values", key)
        if value is not None:
            check_text(f"{option}.values.{key[:SHOWN]}", value)


_BESIDE: Final = {
    "column": ("values", "else", "default", "blank", "within"),
    "columns": ("join", "values", "else", "default", "blank", "within"),
    "first": ("values", "else", "default"),
    "path": ("values", "else", "default"),
    "constant": (),
    "rest": (),
}
_CHECKS: Final[Mapping[str, Callable[[str, object], None]]] = {
    "column": check_text,
    "columns": _check_columns,
    "first": _check_columns,
    "path": _check_path,
    "constant": check_text,
    "rest": _check_rest,
}


def _cell(source: Mapping[str, Any], every: bool, is_key: bool) -> Cell:
    if "path" in source:
        return _path(source["path"], source.get("from"))
    if "rest" in source:
        return _rest(source.get("without", ()))
    if "any" in source:
        return _first_of(source["any"])
    if "first" in source:
        return _first_of(source["first"])
    read = Row.text_from_above if source.get("blank") else Row.text
    if "column" in source:
        return _one(source["column"], read)
    return _joined(source["columns"], source.get("join", "-"), read, every, is_key)


def _one(column: str, read: Callable[[Row, str], str | None]) -> Cell:
    return lambda row: read(row, column)


def _first_of(columns: Sequence[str]) -> Cell:
    def cell(row: Row) -> str | None:
        column = row.first(columns)
        return None if column is None else row.text(column)

    return cell


def _joined(
    columns: Sequence[str], join: str, read: Callable[[Row, str], str | None], every: bool, is_key: bool
) -> Cell:
    def cell(row: Row) -> str | None:
        texts = {column: read(row, column) for column in columns}
        there = [text for text in texts.values() if text is not None]
        if every and there and len(there) < len(texts):
            raise InvalidValue(f"{next(name for name, text in texts.items() if text is None)} is empty")
        # only the last part may have in it what joins them, or `a-b` and `c` would be the key of `a` and `b-c`
        if is_key and join and (mixed := next((text for text in there[:-1] if join in text), None)):
            raise InvalidValue(f"{mixed[:SHOWN]!r} has {join!r} in it, which joins the parts: join says something else")
        return join.join(there) or None

    return cell


def _path(path: str, start: str | None) -> Cell:
    """`start` is the column that the first step means, where records are arrays."""
    steps = path.split(".") if start is None else path.split(".")[1:]

    def cell(row: Row) -> str | None:
        value: Any = row.values if start is None else row.values.get(start)
        for step in steps:
            if isinstance(value, Mapping):
                value = value.get(step)
            elif isinstance(value, list) and step.isascii() and step.isdigit():
                value = value[int(step[:9])] if int(step[:9]) < len(value) else None
            else:
                return None
        return text_of(value)

    return cell


def _rest(without: Sequence[Sequence[str]]) -> Cell:
    """`without`: of each group of columns the first in which there is something is taken by another field."""

    def cell(row: Row) -> str:
        taken = {row.key(column) for columns in without if (column := row.first(columns)) is not None}
        taken |= {row.key(columns[0]) for columns in without if len(columns) == 1}
        return json_codec.dumps({name: value for name, value in row.values.items() if name not in taken})

    return cell


@dataclass(frozen=True)
class _Lookup:
    """A value by a table. Nothing stays nothing, unless the table has it as an empty text."""

    cell: Cell
    table: Mapping[str, str | None]
    has_other: bool
    other: str | None

    def __call__(self, row: Row) -> str | None:
        text = self.cell(row)
        if (text or "") in self.table:
            return self.table[text or ""]
        if text is None or self.has_other:
            return None if text is None else self.other
        known = ", ".join(sorted(self.table)[:12])
        raise InvalidValue(f"{text[:SHOWN]!r} is not in its table of values ({known[:400]})")
