"""Where what Penstock puts into `public` is: there, or in the schema that `PENSTOCK_PUBLIC_SCHEMA` names.

Every SQL text, in a migration and in Python, says `public.`. Where another schema is set, that is said instead for the
names that are ours: those of the package, and those of installed domains. All others stay what they are: somebody
else's. Migrations are rewritten when they are applied or copied, the texts of Python by the cursors of the pool's
connections. Where nothing is set, nothing is rewritten, and connections have psycopg's own cursors.

The other schema's name is written in double quotes, as no text of ours writes any: so the way back is exact
(`penstock/postgres/applied.py`).
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql
from psycopg.abc import Query
from psycopg.rows import TupleRow

from penstock.errors import SettingsError
from penstock.settings import public_schema

PUBLIC: Final = "public"
# What the package's migrations create in `public`. A test compares it with the catalog.
PACKAGE_NAMES: Final = frozenset(
    {
        "append_event",
        "append_events",
        "append_staged_events",
        "appended",
        "current_events",
        "event_store",
        "event_store_position_seq",
        "read_events",
        "read_stream",
        "refresh_materialized_view",
    }
)

_of_domains: set[str] = set()


def declare_names(names: Iterable[str]) -> None:
    """Say what an installed domain has in `public`, by bare names."""
    _of_domains.update(names)


def place_of(table: str) -> tuple[str, str]:
    """The schema and the bare name of a table; without a schema it is in `public`, which is where the setting says."""
    schema, _, name = table.rpartition(".")
    ours = schema in ("", PUBLIC) and (name in PACKAGE_NAMES or name in _of_domains)
    return public_schema() if ours else schema or PUBLIC, name


def quoted(schema: str) -> str:
    return f'"{schema}"'


def move_package(text: str, schema: str) -> str:
    """A migration of the package, in which whatever is in `public` is ours."""
    if schema == PUBLIC:
        return text
    if quoted(schema) in text:
        raise SettingsError(f"PENSTOCK_PUBLIC_SCHEMA cannot be {schema!r}: a column of Penstock's has that name")
    return re.sub(
        r"(?<![\w.\"])public(?=\.)|(?<=schema )public\b|(?<=schema if not exists )public\b", quoted(schema), text
    )


def move(text: str, schema: str) -> str:
    """Any other SQL text: only names of ours move."""
    if schema == PUBLIC or "public." not in text:
        return text
    return _move(text, schema, frozenset(_of_domains))


@lru_cache(maxsize=1000)
def _move(text: str, schema: str, names: frozenset[str]) -> str:
    ours = "|".join(sorted(PACKAGE_NAMES | names))
    return re.sub(rf"(?<![\w.\"])public(?=\.(?:{ours})\b)", quoted(schema), text)


def move_back(text: str, schema: str) -> str:
    """The text before it was moved; any text without that schema in quotes is as it was."""
    return text.replace(quoted(schema), PUBLIC)


def moved_text(text: LiteralString) -> LiteralString:
    """A statement that does not go through a cursor, as this process has to send it."""
    return move(text, public_schema())


def cursor_options() -> dict[str, Any]:
    """What a new connection needs beside its address, so that its statements find what is ours."""
    return {} if public_schema() == PUBLIC else {"cursor_factory": MovedCursor}


class MovedCursor(psycopg.Cursor[TupleRow]):
    """Says the other schema's name in every statement."""

    def execute(self, query: Query, *args: Any, **options: Any) -> "MovedCursor":
        super().execute(_moved(query), *args, **options)
        return self

    def executemany(self, query: Query, *args: Any, **options: Any) -> None:
        super().executemany(_moved(query), *args, **options)

    def stream(self, query: Query, *args: Any, **options: Any) -> Any:
        return super().stream(_moved(query), *args, **options)

    def copy(self, statement: Query, *args: Any, **options: Any) -> Any:
        return super().copy(_moved(statement), *args, **options)


def _moved(query: Any) -> Any:
    """The texts in a query; values and identifiers in it are not text of ours."""
    if isinstance(query, str):
        return move(query, public_schema())
    if isinstance(query, bytes):
        return move(query.decode(), public_schema()).encode()
    if isinstance(query, sql.SQL):
        return sql.SQL(moved_text(query.as_string()))
    if isinstance(query, sql.Composed):
        return sql.Composed([_moved(part) for part in query])
    return query
