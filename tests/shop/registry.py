"""What the sample domain declares, by kind, so that no test writes the names a second time."""

from shop import DOMAIN

MATERIALIZED = tuple(view.name for view in DOMAIN.views if view.kind == "materialized")
EVENT_TYPES = {schema.event_type for schema in DOMAIN.events}
