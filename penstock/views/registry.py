"""Which views may be read by name, and in which order their pages come.

A name from a request is looked up here and goes no further; what reaches SQL are the identifiers below. To add a
materialized view of your own: a migration that creates it with a unique index and a row in `ops.views`, and a `View` in
your domain.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from penstock.errors import NotFound
from penstock.postgres.keyset import Key

Kind = Literal["materialized", "table", "view"]


@dataclass(frozen=True)
class View:
    """`fresh_by` is SQL for the time up to which its rows are right; for `materialized` ones `ops.views` knows it."""

    name: str
    kind: Kind
    keys: tuple[Key, ...]
    fresh_by: str | None = None


_registry: dict[str, View] = {}


def register(view: View) -> View:
    """Make a view readable by its name."""
    if _registry.setdefault(view.name, view) != view:
        raise ValueError(f"a view named {view.name!r} is registered already")
    return view


def views() -> Mapping[str, View]:
    """All readable views by name."""
    return _registry


def find_view(name: str) -> View:
    """The view of that name, or `NotFound`."""
    try:
        return _registry[name]
    except KeyError:
        raise NotFound(f"no view is named {name!r}; there are {', '.join(_registry)}") from None
