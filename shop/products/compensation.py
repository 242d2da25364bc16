"""Take back what an import said of a product."""

from collections.abc import Sequence
from typing import Final

from penstock.event_store import NewEvent, RecordedEvent
from penstock.ingest.files.compensation import Compensation, TakenBack, said_again

_SAID: Final = "ProductListed"

_REMOVED: Final = "ProductRemoved"


def _take_back(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack:
    """What was said before holds again; of a product that the import brought nothing is left."""
    last = max((event.version for event in before if event.event_type == _REMOVED), default=0)
    said = [said_again(event) for event in before if event.event_type == _SAID and event.version > last]
    removed = NewEvent(_REMOVED, {"product_id": own[0].aggregate_id})
    return TakenBack([removed, *said], restored=bool(said))


COMPENSATION: Final = Compensation("product", _take_back, alone=frozenset({_SAID}))
