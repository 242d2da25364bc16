"""Webhooks: a delivery is verified, stored in the inbox, acknowledged, and then turned into events, exactly once.

receive             verify and store one delivery
append_deliveries   work the inbox
seconds_until_due   when there is something to work
retry_delivery      give a failed delivery another try
"""

from penstock.ingest.webhooks.drain import append_deliveries, seconds_until_due
from penstock.ingest.webhooks.inbox import Received, receive, retry_delivery

__all__ = ["Received", "append_deliveries", "receive", "retry_delivery", "seconds_until_due"]
