"""What a projection is, and the registry of all of them.

A projection names the read models that it alone writes (tables made by a migration) and turns events into their rows,
either by SQL over a range of positions or by a Python function over a page of events. The runner keeps the checkpoint,
so a projection sees each event once, in order, in the transaction of its rows; the same code fills a rebuild's copy.
Projections are part of a domain and known once that is installed (`penstock/domain.py`).

Two things make a rebuild equal what was folded range by range. A row must come out the same however the events are
cut into ranges; and whether an event can be read must depend on that event alone.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from penstock.errors import NotFound
from penstock.event_store import RecordedEvent
from penstock.postgres.pool import Connection
from penstock.postgres.public_schema import place_of
from penstock.settings import public_schema


@dataclass(frozen=True)
class SqlProjection:
    """Events into rows by SQL, a range of positions at a time.

    Each statement reads `public.current_events` (the store, upcast), qualified, with `position > %(after)s and
    position <= %(upto)s`, and names its read models unqualified (`tables` says in which schema they are). It runs in
    UTC. An error of SQLSTATE class 22 or 23 says that an event in the range cannot be read: the runner finds it and
    parks it. What can fail is read as `penstock/projections/payload_sql.py` says, so that no plan decides on that. In
    large ranges the planner uses nested loops only where a statement says `lateral`.

    `independent` says that no statement needs the rows which another one writes for the same range. Then a rebuild
    runs them at the same time, each on a connection of its own; everywhere else they follow each other.
    """

    name: str
    tables: tuple[str, ...]
    event_types: tuple[str, ...]
    statements: tuple[str, ...]
    independent: bool = False


@dataclass(frozen=True)
class PythonProjection:
    """Events into rows by `apply(connection, events)`, a page at a time, in order, upcast to their newest shape.

    `apply` names its read models unqualified and must not commit. A `KeyError`, `ValueError`, `TypeError`,
    `ArithmeticError`, `InvalidInput` or an SQL error of class 22 or 23 says that an event cannot be read.
    """

    name: str
    tables: tuple[str, ...]
    event_types: tuple[str, ...]
    apply: Callable[[Connection, Sequence[RecordedEvent]], None]


Projection: TypeAlias = SqlProjection | PythonProjection


def schemas_of(projection: Projection) -> list[str]:
    """The schemas of its read models, each once, and `public`: where its unqualified names are looked for."""
    return list(dict.fromkeys([*(place_of(table)[0] for table in projection.tables), public_schema(), "public"]))


_registry: dict[str, Projection] = {}


def register(projection: Projection) -> Projection:
    """Make a projection known by its name, which is also its subscription."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,50}", projection.name):
        raise ValueError(f"{projection.name!r} is not a name for a projection: a-z, 0-9 and _, beginning with a letter")
    if _registry.setdefault(projection.name, projection) is not projection:
        raise ValueError(f"a projection named {projection.name!r} is registered already")
    return projection


def find_projection(name: str) -> Projection:
    """The projection of that name, or `NotFound`."""
    try:
        return projections()[name]
    except KeyError:
        raise NotFound(f"no projection is named {name!r}; there are {', '.join(sorted(_registry))}") from None


def projections() -> Mapping[str, Projection]:
    """All installed projections by name."""
    return _registry
