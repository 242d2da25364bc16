"""Pages by key instead of by number: where a page ended is where the next one begins, whatever came or went meanwhile.

A cursor is the last row's keys as text. It is opaque to a caller but not secret, so what it holds is checked like any
other input: it gives values to compare with, never SQL.
"""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from penstock import json_codec
from penstock.errors import InvalidInput


@dataclass(frozen=True)
class Key:
    """One column of the order in which pages come; together the keys are unique. `type` is the column's SQL type.

    `bytewise` compares text by its bytes, whatever the database's collation is; the index must say `collate "C"`, too.
    """

    column: str
    type: str
    descending: bool = False
    bytewise: bool = False


def order_of(keys: Sequence[Key]) -> sql.Composable:
    """What comes after `order by`."""
    return sql.SQL(", ").join(_column(key) + sql.SQL(" desc" if key.descending else "") for key in keys)


def beyond(keys: Sequence[Key], prefix: str = "") -> sql.Composable:
    """The condition that a row comes after the values of the placeholders `prefix` + column.

    It is one that an index on the keys can begin at: a comparison of rows, or where the keys differ in direction, a
    bound of the first key beside it.
    """
    if len({key.descending for key in keys}) == 1:
        columns, values = _columns_and_values(keys, prefix)
        return sql.SQL("({}) {} ({})").format(columns, _past(keys[0]), values)
    bound = sql.SQL("{} {}= {}").format(_column(keys[0]), _past(keys[0]), _value(keys[0], prefix))
    return sql.SQL("({} and {})").format(bound, _past_one_by_one(keys, prefix))


def up_to(keys: Sequence[Key], prefix: str = "") -> sql.Composable:
    """The condition that a row comes before the placeholders' values or at them; for keys of one direction."""
    columns, values = _columns_and_values(keys, prefix)
    return sql.SQL("({}) {} ({})").format(columns, sql.SQL(">=" if keys[0].descending else "<="), values)


def encode_cursor(name: str, keys: Sequence[Key], row: dict[str, Any]) -> str:
    """The cursor that goes on after `row`; `name` is that of the list or view."""
    values = [name, *(str(row[key.column]) for key in keys)]
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def decode_cursor(name: str, keys: Sequence[Key], cursor: str) -> dict[str, str]:
    """The values by column. Raises `InvalidInput` for what is not a cursor of this list or view."""
    try:
        values = json_codec.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, InvalidInput) as error:
        raise foreign_cursor(name) from error
    if not isinstance(values, list) or len(values) != len(keys) + 1 or values[0] != name:
        raise foreign_cursor(name)
    if not all(isinstance(value, str) for value in values):
        raise foreign_cursor(name)
    return {key.column: value for key, value in zip(keys, values[1:], strict=True)}


def foreign_cursor(name: str) -> InvalidInput:
    return InvalidInput(f"not the `next` of a page of {name}", field="after")


def _column(key: Key) -> sql.Composable:
    return sql.Identifier(key.column) + sql.SQL(' collate "C"' if key.bytewise else "")


def _value(key: Key, prefix: str) -> sql.Composable:
    return sql.Placeholder(prefix + key.column) + sql.SQL("::" + key.type)


def _columns_and_values(keys: Sequence[Key], prefix: str) -> tuple[sql.Composable, sql.Composable]:
    comma = sql.SQL(", ")
    return comma.join(_column(key) for key in keys), comma.join(_value(key, prefix) for key in keys)


def _past(key: Key) -> sql.SQL:
    return sql.SQL("<" if key.descending else ">")


def _past_one_by_one(keys: Sequence[Key], prefix: str) -> sql.Composable:
    """Past the value in the first key, or level with it there and past it in the rest."""
    first, rest = keys[0], keys[1:]
    column, value = _column(first), _value(first, prefix)
    past = sql.SQL("{} {} {}").format(column, _past(first), value)
    if not rest:
        return past
    return sql.SQL("({} or ({} = {} and {}))").format(past, column, value, _past_one_by_one(rest, prefix))
