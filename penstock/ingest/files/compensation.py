"""How the events of an import are taken back: by further events, which a domain declares for each aggregate type.

The store is append-only, so `undo` appends what leaves a stream as if the import had never been. A domain says which
types of event it can take back and what it appends for them; the target `events` finds the same declarations by the
types that its file brought.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from penstock.event_store import NewEvent, RecordedEvent


@dataclass(frozen=True)
class TakenBack:
    """What `undo` appends to a stream; an event without `occurred_at` gets that of the import's first event.

    `restored` says that the stream says again what it said before the import; else nothing of it is left.
    """

    events: Sequence[NewEvent]
    restored: bool = False


def said_again(event: RecordedEvent) -> NewEvent:
    """The same once more, of the same time."""
    moment = {"occurred_at": event.metadata["occurred_at"]} if "occurred_at" in event.metadata else {}
    return NewEvent(event.event_type, event.payload, moment, schema_version=event.schema_version)


@dataclass(frozen=True)
class Compensation:
    """What takes back the events that an import brought to the streams of one aggregate type.

    `take_back(before, own)` gets the events of the stream before the import's first one, and the import's; those that
    were taken back already are in neither. None leaves the stream alone. `alone` are the types that it can take back.
    A stream to which others have appended since is left alone, unless its events are `sums`, of which each counts
    whatever the others say.
    """

    aggregate_type: str
    take_back: Callable[[Sequence[RecordedEvent], Sequence[RecordedEvent]], TakenBack | None]
    alone: frozenset[str]
    sums: bool = False

    def first_lasting(self, event_types: Collection[str]) -> str | None:
        """The first type of those brought to one stream that nothing takes back."""
        return min((event_type for event_type in event_types if event_type not in self.alone), default=None)


def states(aggregate_type: str, said: str, removed: str, key: str) -> Compensation:
    """For streams of states: what was said before holds again, and where nothing was, one event of type `removed`.

    Its payload has the stream's id as `key`. What came before an earlier one of these is not said again.
    """

    def take_back(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack:
        last = max((event.version for event in before if event.event_type == removed), default=0)
        again = [said_again(event) for event in before if event.event_type == said and event.version > last]
        return TakenBack([NewEvent(removed, {key: own[0].aggregate_id}), *again], restored=bool(again))

    return Compensation(aggregate_type, take_back, alone=frozenset({said}))


_registry: dict[str, Compensation] = {}


def register(compensation: Compensation) -> Compensation:
    """Declare what takes back events of an aggregate type, or put another in its place."""
    _registry[compensation.aggregate_type] = compensation
    return compensation


def find_compensation(aggregate_type: str) -> Compensation | None:
    """What the installed domains declare for streams of that type; None if it is nothing."""
    return _registry.get(aggregate_type)
