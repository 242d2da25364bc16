"""The event store: append-only, versioned by stream, ordered by position.

It knows no domain: any aggregate type and event type can be appended.
"""

from penstock.event_store.aggregates import SNAPSHOT_EVERY, Loaded, Reducer, load_aggregate
from penstock.event_store.bulk import BulkAppended, StreamAppend, append_bulk
from penstock.event_store.events import (
    ANY_VERSION,
    NO_STREAM,
    STREAM_EXISTS,
    Appended,
    ExpectedVersion,
    NewEvent,
    RecordedEvent,
    uuid7,
)
from penstock.event_store.folds import Fold, load_any
from penstock.event_store.streams import append, append_one, read_stream
from penstock.event_store.subscriptions import (
    high_water_mark,
    lock_checkpoint,
    move_checkpoint,
    pass_over,
    read_checkpoint,
    read_events,
)

__all__ = [
    "ANY_VERSION",
    "NO_STREAM",
    "SNAPSHOT_EVERY",
    "STREAM_EXISTS",
    "Appended",
    "BulkAppended",
    "ExpectedVersion",
    "Fold",
    "Loaded",
    "NewEvent",
    "RecordedEvent",
    "Reducer",
    "StreamAppend",
    "append",
    "append_bulk",
    "append_one",
    "high_water_mark",
    "load_aggregate",
    "load_any",
    "lock_checkpoint",
    "move_checkpoint",
    "pass_over",
    "read_checkpoint",
    "read_events",
    "read_stream",
    "uuid7",
]
