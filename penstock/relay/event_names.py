"""The names of the events that Penstock sends to Inngest, and that its Inngest functions are triggered by.

Each name is written here alone; a domain keeps those of its own functions. Event ids and data belong to whoever sends.
"""

from typing import Final

APPENDED: Final = "penstock/events.appended"
EVENT_PREFIX: Final = "event/"
"""Before the event type of a stored event that somebody listens to: `event/OrderPlaced`."""

DELIVERY_RECEIVED: Final = "webhook/delivery.received"
IMPORT_LOADED: Final = "import/file.loaded"
IMPORT_REQUESTED: Final = "import/file.requested"
PURGE_REQUESTED: Final = "penstock/purge.requested"
RELAY_REQUESTED: Final = "penstock/relay.requested"
RESUME_REQUESTED: Final = "import/resume.requested"
VIEWS_REQUESTED: Final = "views/refresh.requested"
