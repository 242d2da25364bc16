"""Lists of rows, page by page in the order of an index, so that no page costs more than another.

What an index finds is in `where`. What none finds is in `rest`: then at most `LOOKED_AT` rows are looked at for a page,
which may therefore be short, even empty, and still have a next one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import sql
from psycopg.rows import dict_row

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.postgres import keyset
from penstock.postgres.keyset import Key
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

MAX_PAGE: Final = 1000
LOOKED_AT: Final = 10_000


@dataclass(frozen=True)
class Listing:
    """The rows of a table in the order of `keys`, which go one way, are never null, and among `columns`."""

    name: str
    table: sql.Identifier
    columns: tuple[str, ...]
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class ListPage:
    """`next` goes into `after` for the page that follows; None on the last page."""

    rows: Sequence[dict[str, Any]]
    next: str | None


def read_page(
    connection: Connection,
    listing: Listing,
    *,
    where: Sequence[sql.Composable] = (),
    rest: Sequence[sql.Composable] = (),
    values: Mapping[str, object] | None = None,
    after: str | None = None,
    max_count: int = 100,
) -> ListPage:
    """At most `max_count` rows, and at most 4 MB of them. `values` are those of the conditions' placeholders.

    Raises `InvalidInput` for a `max_count` beyond 1 to 1,000, and for an `after` that is not from a page of this list.
    """
    if not 1 <= max_count <= MAX_PAGE:
        raise InvalidInput(f"{max_count} is not from 1 to {MAX_PAGE}", field="limit")
    bound = dict(values or {})
    conditions = list(where)
    if after is not None:
        start = keyset.decode_cursor(listing.name, listing.keys, after)
        bound |= {f"after_{column}": value for column, value in start.items()}
        conditions.append(keyset.beyond(listing.keys, "after_"))
    try:
        with translate_errors(), connection.transaction():
            connection.execute(_BY_INDEX)
            return _read(connection, listing, conditions, rest, bound, max_count)
    except InvalidInput as error:
        if after is None:
            raise
        raise keyset.foreign_cursor(listing.name) from error


_BY_INDEX: Final = """
select set_config(name, 'off', true) from unnest('{jit,enable_seqscan,enable_bitmapscan,enable_sort}'::text[]) as name
"""
"""Else, of a table whose statistics are old or missing, all that fits might be read and sorted for one page."""


def after_all_with(prefix: str) -> str | None:
    """The first text, by its bytes, after all that begin with `prefix`; None if there is none."""
    for end in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[end]) + 1
        if code <= 0x10FFFF:
            return prefix[:end] + chr(0xE000 if 0xD800 <= code < 0xE000 else code)
    return None


def _read(
    connection: Connection,
    listing: Listing,
    conditions: list[sql.Composable],
    rest: Sequence[sql.Composable],
    values: dict[str, object],
    max_count: int,
) -> ListPage:
    last = _last_looked_at(connection, listing, conditions, values) if rest else None
    if last:
        values = values | {f"until_{key.column}": last[key.column] for key in listing.keys}
        conditions = [*conditions, keyset.up_to(listing.keys, "until_")]
    query = _select(listing, listing.columns, [*conditions, *rest]) + sql.SQL(" limit {}").format(max_count + 1)
    with connection.cursor(row_factory=dict_row) as cursor:
        rows, more = take(cursor, query, values, max_count, lambda row: len(json_codec.dumps(row).encode()))
    ends_at = rows[-1] if more else last
    return ListPage(rows, keyset.encode_cursor(listing.name, listing.keys, ends_at) if ends_at else None)


def _last_looked_at(
    connection: Connection, listing: Listing, conditions: Sequence[sql.Composable], values: Mapping[str, object]
) -> dict[str, Any] | None:
    """The keys of the last row that this page looks at; None if it looks at all that there are.

    Asked before the rows are read: rows that come or go in between neither repeat nor skip any.
    """
    keys = tuple(key.column for key in listing.keys)
    query = _select(listing, keys, conditions) + sql.SQL(" offset {} limit 1").format(LOOKED_AT - 1)
    with translate_errors(), connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, values).fetchone()


def _select(listing: Listing, columns: Sequence[str], conditions: Sequence[sql.Composable]) -> sql.Composable:
    return sql.SQL("select {} from {} where {} order by {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        listing.table,
        sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true"),
        keyset.order_of(listing.keys),
    )
