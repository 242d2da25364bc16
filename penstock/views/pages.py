"""Read a view page by page, by key: no page is slower than the first, and a refresh in between repeats or skips no row
that stayed where it was.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.postgres import keyset
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection
from penstock.views.freshness import freshness
from penstock.views.registry import View, find_view

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
    start = keyset.decode_cursor(view.name, view.keys, after) if after is not None else None
    if before and view.keys[0].type not in ("date", "timestamptz"):
        raise InvalidInput(f"{view.name} is not in the order of time", field="before")
    if currency is not None:
        _check_currency(view, currency)
    fresh = freshness(connection, view)
    rows, more = _select(connection, view, start, _wanted(view, before, currency), max_count)
    return Page(list(rows), keyset.encode_cursor(view.name, view.keys, rows[-1]) if more else None, fresh.refreshed_at)


def _select(
    connection: Connection, view: View, start: dict[str, str] | None, wanted: sql.Composable, max_count: int
) -> tuple[Sequence[dict[str, Any]], bool]:
    query = sql.SQL("select * from {} where {} and {} order by {} limit {}").format(
        sql.Identifier("public", view.name),
        keyset.beyond(view.keys) if start else sql.SQL("true"),
        wanted,
        keyset.order_of(view.keys),
        sql.Literal(max_count + 1),
    )
    with connection.cursor(row_factory=dict_row) as cursor:
        try:
            return take(cursor, query, start, max_count, lambda row: len(json_codec.dumps(row).encode()))
        except InvalidInput as error:  # nothing but the start comes from outside
            raise keyset.foreign_cursor(view.name) from error


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
