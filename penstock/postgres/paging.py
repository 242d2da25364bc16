"""Pages that end at a number of rows or of bytes, whichever comes first.

Rows are taken as Postgres sends them, one at a time; what would exceed the bytes is never sent on, and the statement is
cancelled. So neither an answer nor what it is made of can fill the memory, however large the rows are.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final, TypeVar

from psycopg import Cursor
from psycopg.abc import Params, Query

from penstock.postgres.sqlstates import translate_errors

MAX_BYTES: Final = 4_000_000
"""Of one answer: Vercel cuts at 4,500,000."""

T = TypeVar("T")


def take(
    cursor: Cursor[T], query: Query, values: Params | None, max_count: int, size: Callable[[T], int]
) -> tuple[Sequence[T], bool]:
    """At most `max_count` rows, together at most `MAX_BYTES`, but at least one; and whether there are more.

    `query` must answer at most `max_count + 1` rows: the last of them only says that there are more.
    """
    rows: list[T] = []
    total = 0
    with translate_errors(), closing(cursor.stream(query, values)) as found:  # type: ignore[type-var]
        for row in found:
            total += size(row)
            if rows and total > MAX_BYTES:
                return rows, True
            rows.append(row)
    return rows[:max_count], len(rows) > max_count
