"""The relay of this deployment: the core's, with Inngest as its outside. The one border that an append crosses."""

from penstock.inngest.client import listened_types, settings
from penstock.inngest.send import published, send
from penstock.projections import projections
from penstock.relay.relay import Relay


def projected_types() -> dict[str, tuple[str, ...]]:
    """The event types of each projection that is installed."""
    return {name: projection.event_types for name, projection in projections().items()}


relay = Relay(settings, send, listened_types, projected_types, published)
