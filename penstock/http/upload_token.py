"""The right to send one file, as a part of an address: which import, until when, signed.

The key is derived from what every instance of a deployment has and nobody else: no variable more to set. Changing the
database's password or the API keys ends the uploads that are still to come.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from uuid import UUID

from penstock.errors import Forbidden
from penstock.settings import Settings

_FORM = re.compile(r"([0-9a-f]{32})\.([0-9]{1,12})\.([0-9a-f]{64})")


def sign(settings: Settings, import_id: UUID, expires_at: datetime) -> str:
    text = f"{import_id.hex}.{int(expires_at.timestamp())}"
    return f"{text}.{_signature(settings, text)}"


def verify(settings: Settings, token: str, now: datetime) -> UUID:
    """The import that the token is for. Raises `Forbidden` for one that was not made here or whose time is over."""
    match = _FORM.fullmatch(token)
    given = match[3] if match else ""
    text = f"{match[1]}.{match[2]}" if match else ""
    if not hmac.compare_digest(_signature(settings, text), given) or match is None:
        raise Forbidden("this is not an upload URL that was issued here")
    expires_at = datetime.fromtimestamp(int(match[2]), UTC)
    if now >= expires_at:
        raise Forbidden("the upload URL has expired: ask for another", expired_at=expires_at)
    return UUID(match[1])


def _signature(settings: Settings, text: str) -> str:
    secrets = [settings.database_url, *(key.sha256 for key in settings.api_keys)]
    key = hashlib.sha256("\n".join(["penstock upload", *secrets]).encode()).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
