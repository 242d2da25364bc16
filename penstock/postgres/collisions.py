"""What migrations would create and the database already has, from somebody else: said all at once, before a write.

Read from the files as they are written here: each statement begins at the start of a line, names are qualified, and
arguments have names. A test compares what is read with the catalog of an installed database.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from penstock.errors import Conflict
from penstock.postgres.public_schema import PUBLIC
from penstock.settings import public_schema

_STATEMENT: Final = re.compile(
    r"^create (?:unlogged )?(?=table|view|materialized view|sequence|type|function|schema)", re.M
)
_RELATION: Final = re.compile(r"(table|view|materialized view|sequence|type) (\w+)\.(\w+)")
_FUNCTION: Final = re.compile(r"function (\w+)\.(\w+)\(((?:[^()]|\([^()]*\))*)\)")
_SCHEMA: Final = re.compile(r"schema if not exists (\w+)")
_NAMED: Final = 5


@dataclass(frozen=True, order=True)
class Created:
    """`kind` as in SQL; a function has the types of its arguments, a schema its name alone."""

    schema: str
    name: str = ""
    kind: str = "schema"
    types: tuple[str, ...] = ()


def created_by(text: str) -> Iterator[Created]:
    """What a migration creates, as it says it itself, where `PENSTOCK_PUBLIC_SCHEMA` puts it."""
    for statement in _STATEMENT.split(text)[1:]:
        if relation := _RELATION.match(statement):
            yield Created(_home(relation[2]), relation[3], relation[1])
        elif function := _FUNCTION.match(statement):
            yield Created(_home(function[1]), function[2], "function", _types(function[3]))
        elif schema := _SCHEMA.match(statement):
            yield Created(schema[1])


def refuse_collisions(connection: psycopg.Connection[Any], pending: Iterable[str], applied: Iterable[str]) -> None:
    """Raise `Conflict` that names everything that the texts `pending` create and somebody else has. Only reads.

    What the texts `applied` created is ours, though a later one may replace it.
    """
    ours = {each for text in applied for each in created_by(text)}
    wanted = sorted({each for text in pending for each in created_by(text)} - ours)
    taken = [each for each in wanted if each.kind != "schema" and _exists(connection, each)]
    schemas = [each.schema for each in wanted if each.kind == "schema" and each.schema != PUBLIC]
    foreign = {schema: found for schema in schemas if (found := _inhabitants(connection, schema))}
    home = public_schema()
    if said := [*_said_of_names([each for each in taken if each.schema == home], home)]:
        said.append("PENSTOCK_PUBLIC_SCHEMA=<another schema> moves what Penstock would put there")
    said += [
        f"the schema {schema} has {_listed(found)}, and Penstock needs it for itself: rename it, or give Penstock a"
        " database of its own"
        for schema, found in foreign.items()
    ]
    said += _said_of_names([each for each in taken if each.schema not in {home, *foreign}], "")
    if said:
        raise Conflict("nothing was written to this database: " + "; ".join(said))


def _said_of_names(taken: list[Created], schema: str) -> list[str]:
    names = ", ".join(f"{each.kind} {_name(each)}" for each in taken)
    return (
        [f"it has objects of the names that Penstock needs{f' in {schema}' * bool(schema)}: {names}"] if taken else []
    )


def _name(created: Created) -> str:
    arguments = f"({', '.join(created.types)})" if created.kind == "function" else ""
    return f"{created.schema}.{created.name}{arguments}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _home(schema: str) -> str:
    return public_schema() if schema == PUBLIC else schema


def _types(arguments: str) -> tuple[str, ...]:
    """`a text, b integer default 3` → text, integer."""
    bare = re.sub(r"\([^()]*\)", "", re.sub(r"'[^']*'", "''", arguments))  # a default may have commas
    parts = (part.split() for part in bare.split(",") if part.strip())
    return tuple(" ".join(words[1:]).partition(" default ")[0] for words in parts if words[0] != "out")


_RELATION_EXISTS: Final = """
select exists (
  select from pg_catalog.pg_class as c where c.relnamespace = n.oid and c.relname = %(name)s
) or exists (
  select from pg_catalog.pg_type as t where t.typnamespace = n.oid and t.typname = %(name)s
)
from pg_catalog.pg_namespace as n where n.nspname = %(schema)s
"""
# Types by their names of today: one that is not there yet is nobody's argument.
_FUNCTION_EXISTS: Final = """
select exists (
  select from pg_catalog.pg_proc as p
  inner join pg_catalog.pg_namespace as n on n.oid = p.pronamespace
  where n.nspname = %(schema)s and p.proname = %(name)s and oidvectortypes(p.proargtypes) = (
    select coalesce(string_agg(format_type(to_regtype(a.type), null), ', ' order by a.place), '')
    from unnest(%(types)s::text[]) with ordinality as a (type, place)
  )
)
"""
_INHABITANTS: Final = """
with o (name) as (
  select c.relname::text from pg_catalog.pg_class as c
  where c.relnamespace = to_regnamespace(%(schema)s) and c.relkind not in ('i', 'I', 't')
  union all
  select p.proname || '()' from pg_catalog.pg_proc as p where p.pronamespace = to_regnamespace(%(schema)s)
  union all
  select t.typname::text from pg_catalog.pg_type as t
  where t.typnamespace = to_regnamespace(%(schema)s) and t.typtype in ('d', 'e', 'r')
)
select %(schema)s || '.' || o.name from o order by 1
"""


def _exists(connection: psycopg.Connection[Any], wanted: Created) -> bool:
    query = _FUNCTION_EXISTS if wanted.kind == "function" else _RELATION_EXISTS
    names = {"schema": wanted.schema, "name": wanted.name, "types": list(wanted.types)}
    return connection.execute(query, names).fetchone() == (True,)


def _inhabitants(connection: psycopg.Connection[Any], schema: str) -> list[str]:
    return [name for (name,) in connection.execute(_INHABITANTS, {"schema": schema})]
