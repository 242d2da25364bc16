"""The inbox: verified deliveries, stored as they came before they are acknowledged. One row for each delivery id."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.types.json import Jsonb

from penstock.errors import NotFound
from penstock.ingest.webhooks import signatures
from penstock.postgres import pool
from penstock.postgres.pool import Connection, translate_errors
from penstock.settings import Settings

KEPT_HEADERS: Final = ("webhook-id", "webhook-timestamp", "content-type", "user-agent")
"""Named one by one, so that no header with a secret is ever stored."""


@dataclass(frozen=True)
class Received:
    """`duplicate`: a delivery with this id had come before; nothing was stored."""

    delivery_id: str
    duplicate: bool


def receive(settings: Settings, source: str, headers: Mapping[str, str], body: bytes, now: datetime) -> Received:
    """Verify a delivery and store it. `headers` have lower-case names.

    Raises `NotFound` for a source without a secret, `Unauthenticated` if no signature fits: then nothing is stored.
    """
    secrets = settings.webhook_secrets.get(source)
    if secrets is None:
        raise NotFound(f"there is no webhook source {source}", source=source)
    delivery_id = signatures.verify(headers, body, secrets, now)
    kept = {name: headers[name].replace("\x00", "") for name in KEPT_HEADERS if name in headers}
    with pool.connection(settings) as connection:
        stored = connection.execute(_STORE, (source, delivery_id, Jsonb(kept), body, now)).rowcount
    return Received(delivery_id, duplicate=not stored)


def retry_delivery(connection: Connection, source: str, delivery_id: str) -> None:
    """Put a failed delivery back to work; part of the caller's transaction. Raises `NotFound`."""
    with translate_errors():
        if not connection.execute(_RETRY, (source, delivery_id)).rowcount:
            raise NotFound(f"no failed delivery {delivery_id} of {source} is in the inbox")


_STORE = """
insert into raw.webhook_inbox (source, delivery_id, headers, body, received_at) values (%s, %s, %s, %s, %s)
on conflict on constraint webhook_inbox_pkey do nothing
"""
_RETRY = """
update raw.webhook_inbox set status = 'pending', reason = null, processed_at = null, attempts = 0,
  due_at = clock_timestamp()
where source = %s and delivery_id = %s and status = 'failed'
"""
