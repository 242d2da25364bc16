"""Take back what an import said of an order."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from penstock.event_store import NewEvent, RecordedEvent
from penstock.ingest.files.compensation import Compensation, TakenBack, said_again
from shop.orders.order import AGGREGATE_TYPE, AMENDED, CONTENT, STATUS_AFTER, VOIDED


def _take_back(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack | None:
    """The order that the import began is voided; one that it amended is what it was. Steps alone stay."""
    said = [event for event in before if event.event_type in CONTENT]
    if not said:
        return TakenBack([NewEvent(VOIDED, {"reason": "import undone"})])
    if any(event.event_type in STATUS_AFTER for event in own):
        return None
    return TakenBack([replace(said_again(said[-1]), event_type=AMENDED)], restored=True)


COMPENSATION: Final = Compensation(
    AGGREGATE_TYPE,
    _take_back,
    alone=frozenset(CONTENT),
    begins=frozenset({"OrderPlaced"}),
    together=frozenset(STATUS_AFTER),
)
