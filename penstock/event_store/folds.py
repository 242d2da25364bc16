"""How the streams of each aggregate type become a state.

A domain declares a fold for the types that it knows. Any other aggregate type gets the generic one: how many events,
the type of the last, and all payloads merged key by key, a later event's value over an earlier one's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Generic, TypeVar

from penstock.event_store.aggregates import Loaded, Reducer, load_aggregate
from penstock.event_store.events import RecordedEvent
from penstock.postgres.pool import Connection

S = TypeVar("S")


@dataclass(frozen=True)
class Fold(Generic[S]):
    """The reducer of one aggregate type. Its states are dataclasses."""

    aggregate_type: str
    reducer: Reducer[S]


@dataclass(frozen=True)
class Merged:
    """The state of an aggregate that no domain knows."""

    events: int = 0
    last_event_type: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def _merge(state: Merged, event: RecordedEvent) -> Merged:
    return Merged(state.events + 1, event.event_type, {**state.data, **event.payload})


MERGED: Final = Reducer("merged", 1, Merged(), _merge, asdict, lambda dumped: Merged(**dumped))

_registry: dict[str, Fold[Any]] = {}


def register(fold: Fold[Any]) -> Fold[Any]:
    """Declare how aggregates of a type become a state."""
    if _registry.setdefault(fold.aggregate_type, fold) is not fold:
        raise ValueError(f"the aggregate type {fold.aggregate_type!r} has a fold already")
    return fold


def load_any(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    *,
    at_version: int | None = None,
    at: datetime | None = None,
) -> tuple[Loaded[dict[str, Any]], str]:
    """The state of any aggregate as plain values, and the name of the fold that made it; `merged` for unknown types."""
    fold = _registry.get(aggregate_type)
    reducer = fold.reducer if fold else MERGED
    loaded = load_aggregate(connection, reducer, aggregate_type, aggregate_id, at_version=at_version, at=at)
    return replace(loaded, state=asdict(loaded.state)), reducer.name
