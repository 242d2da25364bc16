"""The relay of this deployment: the core's, with Inngest as its outside. The one border that an append crosses."""

from penstock.inngest.client import listened_types, settings
from penstock.inngest.send import published, send
from penstock.relay.relay import Relay

relay = Relay(settings, send, listened_types, published)
