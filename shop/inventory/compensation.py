"""Take back what an import said of a product's stock: the same change the other way."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from penstock.event_store import RecordedEvent
from penstock.ingest.files.compensation import Compensation, TakenBack, said_again
from shop.inventory.inventory import AGGREGATE_TYPE, CHANGES, read_whole_number


def _take_back(_: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack:
    opposite = []
    for event in own:
        field = CHANGES[event.event_type]
        change = read_whole_number(event.payload.get(field))
        if change:  # what cannot be read has changed nothing
            payload = {**event.payload, field: -change, "reason": "import undone"}
            opposite.append(replace(said_again(event), payload=payload))
    return TakenBack(opposite)


COMPENSATION: Final = Compensation(AGGREGATE_TYPE, _take_back, alone=frozenset(CHANGES), sums=True)
