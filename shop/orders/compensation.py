"""Take back what an import said of an order."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from penstock.event_store import NewEvent, RecordedEvent
from penstock.ingest.files.compensation import Compensation, TakenBack, said_again
from shop.orders.order import AGGREGATE_TYPE, AMENDED, CONTENT, REFUNDED, STATUS_AFTER, VOIDED

_LIFE: Final = frozenset({*STATUS_AFTER, REFUNDED})


def _take_back(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack:
    """The order that the import began is voided; one that it amended, or that it added steps to, is what it was."""
    said = [event for event in before if event.event_type in CONTENT]
    if not said:
        return TakenBack([NewEvent(VOIDED, {"reason": "import undone"})])
    if any(event.event_type in _LIFE for event in own):
        return TakenBack([NewEvent(VOIDED, {"reason": "import undone"}), *_again(before)], restored=True)
    return TakenBack([replace(said_again(said[-1]), event_type=AMENDED)], restored=True)


def _again(before: Sequence[RecordedEvent]) -> Iterator[NewEvent]:
    """The order as it was, event by event: there is nothing that takes a single step back."""
    ended = max((event.version for event in before if event.event_type == VOIDED), default=0)
    return (said_again(event) for event in before if event.version > ended)


COMPENSATION: Final = Compensation(AGGREGATE_TYPE, _take_back, alone=frozenset(CONTENT) | _LIFE)
