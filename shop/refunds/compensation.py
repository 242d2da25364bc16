"""Take back the credit notes that an import brought."""

from collections.abc import Sequence
from typing import Final

from penstock.event_store import NewEvent, RecordedEvent
from penstock.ingest.files.compensation import Compensation, TakenBack
from shop.refunds.projection import AGGREGATE_TYPE, ISSUED, VOIDED


def _take_back(before: Sequence[RecordedEvent], own: Sequence[RecordedEvent]) -> TakenBack:
    """An import only issues a credit note where there is none."""
    return TakenBack([NewEvent(VOIDED, {"reason": "import undone"})])


COMPENSATION: Final = Compensation(AGGREGATE_TYPE, _take_back, alone=frozenset({ISSUED}))
