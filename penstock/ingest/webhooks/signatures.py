"""Verify deliveries signed by the Standard Webhooks scheme (https://www.standardwebhooks.com), symmetric `v1`.

The signature covers `id.timestamp.body`: the bytes as they came, never parsed and written again.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

from penstock.errors import InvalidInput, SettingsError, Unauthenticated
from penstock.settings import webhook_key

TOLERANCE_SECONDS: Final = 300
_MAX_ID: Final = 200


def verify(headers: Mapping[str, str], body: bytes, secrets: Iterable[str], now: datetime) -> str:
    """Return the delivery's id if one of its signatures fits one of the secrets; raise `Unauthenticated` otherwise.

    `headers` have lower-case names. Several secrets may be active while one is being exchanged for another.
    """
    delivery_id = _header(headers, "webhook-id")
    timestamp = _header(headers, "webhook-timestamp")
    sent = [each.removeprefix("v1,") for each in _header(headers, "webhook-signature").split() if each[:3] == "v1,"]
    _check_time(timestamp, now)
    signed = b".".join((delivery_id.encode(), timestamp.encode(), body))
    wanted = [base64.b64encode(hmac.new(_key(secret), signed, hashlib.sha256).digest()) for secret in secrets]
    # all pairs are compared, so that the time taken does not reveal which fits
    fits = [hmac.compare_digest(one, other.encode()) for one in wanted for other in sent]
    if not any(fits):
        raise Unauthenticated("no signature of the delivery fits")
    if len(delivery_id) > _MAX_ID:
        raise InvalidInput(f"longer than {_MAX_ID} characters", field="webhook-id")
    return delivery_id


def _key(secret: str) -> bytes:
    try:
        return webhook_key(secret)
    except ValueError as error:
        raise SettingsError("a secret in WEBHOOK_SECRETS is not base64, with or without whsec_ before it") from error


def _header(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name, "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise Unauthenticated(f"the header {name} is missing or unreadable")
    return value


def _check_time(timestamp: str, now: datetime) -> None:
    if not (timestamp.isdigit() and len(timestamp) <= 12):
        raise Unauthenticated("webhook-timestamp must be a count of seconds")
    if abs(now.astimezone(UTC).timestamp() - int(timestamp)) > TOLERANCE_SECONDS:
        raise Unauthenticated(f"webhook-timestamp is more than {TOLERANCE_SECONDS} seconds from now")
