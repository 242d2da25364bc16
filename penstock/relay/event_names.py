"""The name of every event that goes to Inngest or comes from it: triggers and senders take it from here.

A domain keeps the names of its own events (the shop: `shop/figures/daily.py`). Plain strings, and in the core, since
the relay sends two of them and HTTP others.
"""

from typing import Final

APPENDED: Final = "penstock/events.appended"
"""A range of positions was appended: `from`, `to`, `count` and `event_types`."""

EVENT_PREFIX: Final = "event/"
"""Before the type of a stored event that some function listens to."""

PROJECTIONS_BEHIND: Final = "penstock/projections.behind"
"""`projections` names those for which there is something to do: events of their types were appended."""

SWEEP_REQUESTED: Final = "penstock/sweep.requested"
PURGE_REQUESTED: Final = "penstock/purge.requested"
VIEWS_REQUESTED: Final = "views/refresh.requested"

DELIVERY_RECEIVED: Final = "webhook/delivery.received"

IMPORT_REQUESTED: Final = "import/file.requested"
IMPORT_LOADED: Final = "import/file.loaded"

FUNCTION_FAILED: Final = "inngest/function.failed"
"""Inngest's own: a run that is out of retries."""


def projection_behind(name: str) -> str:
    """Has one projection's own function catch up, a step at a time: it has more to do than fits into one call."""
    return f"projection/{name}.behind"
