"""Read a view page by page, by key: no page is slower than the first, and a refresh in between repeats or skips no row
that stayed where it was.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection
from penstock.views.freshness import freshness
from penstock.views.registry import Key, View, find_view

MAX_PAGE: Final = 1000
_CURRENCY: Final = "currency"


@dataclass(frozen=True)
class Page:
    """`next` goes into `after` for the page that follows; None on the last page."""

    rows: list[dict[str, Any]]
    next: str | None
    refreshed_at: datetime | None


def read_view(
    connection: Connection,
    name: str,
    *,
    after: str | None = None,
    before: date | None = None,
    currency: str | None = None,
    max_count: int = 100,
) -> Page:
    """At most `max_count` rows, and at most 4 MB of them: months, days and hours newest first, products by revenue.

    `before` leaves out what is not older than that date, in views that go by time; `currency` what is not of it, in
    views with such a key. Raises `NotFound` for an unknown name and `InvalidInput` for a `max_count` beyond 1 to 1,000,
    an `after` that is not from a page of this view, or a filter that the view does not have.
    """
    view = find_view(name)
    if not 1 <= max_count <= MAX_PAGE:
        raise InvalidInput(f"{max_count} is not from 1 to {MAX_PAGE}", field="limit")
    start = _decode(view, after) if after is not None else None
    if before and view.keys[0].type not in ("date", "timestamptz"):
        raise InvalidInput(f"{view.name} is not in the order of time", field="before")
    if currency is not None:
        _check_currency(view, currency)
    fresh = freshness(connection, view)
    rows, more = _select(connection, view, start, _wanted(view, before, currency), max_count)
    return Page(list(rows), _encode(view, rows[-1]) if more else None, fresh.refreshed_at)


def _select(
    connection: Connection, view: View, start: dict[str, str] | None, wanted: sql.Composable, max_count: int
) -> tuple[Sequence[dict[str, Any]], bool]:
    query = sql.SQL("select * from {} where {} and {} order by {} limit {}").format(
        sql.Identifier("public", view.name),
        _beyond(view.keys) if start else sql.SQL("true"),
        wanted,
        sql.SQL(", ").join(_ordered(key) for key in view.keys),
        sql.Literal(max_count + 1),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        try:
            return take(cursor, query, start, max_count, lambda row: len(json_codec.dumps(row).encode()))
        except InvalidInput as error:  # nothing but the start comes from outside
            raise _foreign_cursor(view) from error


def _check_currency(view: View, currency: str) -> None:
    if not any(key.column == _CURRENCY for key in view.keys):
        raise InvalidInput(f"{view.name} is not by currency", field="currency")
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise InvalidInput("must be a code of ISO 4217, such as EUR", field="currency")


def _wanted(view: View, before: date | None, currency: str | None) -> sql.Composable:
    conditions: list[sql.Composable] = [sql.SQL("true")]
    if before:
        conditions.append(sql.SQL("{} < {}").format(sql.Identifier(view.keys[0].column), before))
    if currency:
        conditions.append(sql.SQL("{} = {}").format(sql.Identifier(_CURRENCY), currency))
    return sql.SQL(" and ").join(conditions)


def _ordered(key: Key) -> sql.Composable:
    return sql.Identifier(key.column) + sql.SQL(" desc" if key.descending else "")


def _beyond(keys: tuple[Key, ...]) -> sql.Composable:
    """Past the start in the first key, or level with it there and past it in the rest; keys may differ in direction."""
    first, rest = keys[0], keys[1:]
    column, start = sql.Identifier(first.column), sql.Placeholder(first.column)
    value = start + sql.SQL("::" + first.type)
    past = column + sql.SQL(" < " if first.descending else " > ") + value
    if not rest:
        return past
    return sql.SQL("({} or ({} = {} and {}))").format(past, column, value, _beyond(rest))


def _encode(view: View, row: dict[str, Any]) -> str:
    values = [view.name, *(str(row[key.column]) for key in view.keys)]
    return base64.urlsafe_b64encode(json.dumps(values, ensure_ascii=False).encode()).decode().rstrip("=")


def _decode(view: View, cursor: str) -> dict[str, str]:
    try:
        values = json_codec.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, InvalidInput) as error:
        raise _foreign_cursor(view) from error
    if not isinstance(values, list) or len(values) != len(view.keys) + 1 or values[0] != view.name:
        raise _foreign_cursor(view)
    if not all(isinstance(value, str) for value in values):
        raise _foreign_cursor(view)
    return {key.column: value for key, value in zip(view.keys, values[1:], strict=True)}


def _foreign_cursor(view: View) -> InvalidInput:
    return InvalidInput(f"not the `next` of a page of {view.name}", field="after")
