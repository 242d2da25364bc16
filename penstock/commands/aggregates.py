"""Aggregates: a stream's events folded into a state, now or at an earlier version or time.

`order` and `inventory` have a fold of their own. Any other aggregate type gets the generic one: how many events, the
last of them, and all payloads merged key by key, a later event's value over an earlier one's.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import Any, Final, Generic, TypeVar

from penstock.commands import inventory, order
from penstock.database import Connection
from penstock.event_store import RecordedEvent, read_stream

S = TypeVar("S")
PAGE: Final = 1000


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """How a kind of stream is folded: `evolve(state, event_type, payload)` from `initial`."""

    aggregate_type: str
    initial: S
    evolve: Callable[[S, str, Mapping[str, Any]], S]


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """A state with the stream's version and position at that moment; both 0 if there was no event."""

    state: S
    version: int
    position: int
    at: datetime | None


@dataclass(frozen=True)
class Merged:
    """The state of an aggregate that Penstock knows nothing of."""

    events: int = 0
    last_event_type: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


def _merge(state: Merged, event_type: str, payload: Mapping[str, Any]) -> Merged:
    return Merged(state.events + 1, event_type, {**state.data, **payload})


ORDER: Final = Aggregate(order.AGGREGATE_TYPE, order.Order(), order.evolve)
INVENTORY: Final = Aggregate(inventory.AGGREGATE_TYPE, inventory.Inventory(), inventory.evolve)
_KNOWN: Final[Mapping[str, Aggregate[Any]]] = {each.aggregate_type: each for each in (ORDER, INVENTORY)}


def load(
    connection: Connection,
    aggregate: Aggregate[S],
    aggregate_id: str,
    *,
    at_version: int | None = None,
    at: datetime | None = None,
) -> Loaded[S]:
    """Fold the stream: all of it, up to a version, or as far as it was stored at a time."""
    state, version, position, stored_at = aggregate.initial, 0, 0, None
    for event in _events(connection, aggregate.aggregate_type, aggregate_id, at_version, at):
        state = aggregate.evolve(state, event.event_type, event.payload)
        version, position, stored_at = event.version, event.position, event.created_at
    return Loaded(state, version, position, stored_at)


def load_any(
    connection: Connection,
    aggregate_type: str,
    aggregate_id: str,
    *,
    at_version: int | None = None,
    at: datetime | None = None,
) -> tuple[Loaded[dict[str, Any]], str]:
    """The state of any aggregate as plain values, and the fold that made it: `order`, `inventory` or `merged`."""
    aggregate = _KNOWN.get(aggregate_type)
    fold = aggregate_type if aggregate else "merged"
    loaded = load(
        connection,
        aggregate or Aggregate(aggregate_type, Merged(), _merge),
        aggregate_id,
        at_version=at_version,
        at=at,
    )
    return Loaded(asdict(loaded.state), loaded.version, loaded.position, loaded.at), fold


def _events(
    connection: Connection, aggregate_type: str, aggregate_id: str, at_version: int | None, at: datetime | None
) -> Iterator[RecordedEvent]:
    events = _all_events(connection, aggregate_type, aggregate_id)
    if at_version is not None:
        events = takewhile(lambda event: event.version <= at_version, events)
    if at is not None:
        events = takewhile(lambda event: event.created_at <= at, events)
    return events


def _all_events(connection: Connection, aggregate_type: str, aggregate_id: str) -> Iterator[RecordedEvent]:
    version = 0
    while True:
        page = read_stream(connection, aggregate_type, aggregate_id, after_version=version, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        version = page[-1].version
