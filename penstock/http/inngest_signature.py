"""Whether a call comes from Inngest, and was made just now.

`X-Inngest-Signature: t=<seconds>&s=<hex>`, where `s` is HMAC-SHA256 of the body in its canonical form (RFC 8785) and of
the time. A body that arrives in that form is not parsed before its signature is known to fit; one in another form must
be, but only after the header's form, its age and the number of values were found right. What the SDK leaves open is
closed here: a signature must say its time, which is valid for five minutes on either side of now.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import jcs  # type: ignore[import-untyped]

from penstock import json_codec
from penstock.errors import InvalidInput, Unauthenticated

TOLERANCE_SECONDS: Final = 300
_FORM: Final = re.compile(r"t=([0-9]{1,12})&s=([0-9a-f]{64})", re.ASCII)
_PREFIX: Final = re.compile(r"^signkey-\w+-")


@dataclass(frozen=True, slots=True)
class Signature:
    time: str
    digest: str


def read(header: str | None, now: datetime) -> Signature:
    """The header's parts. Raises `Unauthenticated` if there is none, its form is another, or its time is not near."""
    match = _FORM.fullmatch(header or "")
    if not match:
        raise Unauthenticated("the header X-Inngest-Signature is missing, or not t=<seconds>&s=<hex>")
    if abs(now.timestamp() - int(match[1])) > TOLERANCE_SECONDS:
        raise Unauthenticated(f"the signature's time is more than {TOLERANCE_SECONDS} seconds from now")
    return Signature(match[1], match[2])


def fits(signature: Signature, body: bytes, keys: Sequence[str]) -> bool:
    """Whether one of the signing keys made it. A large body takes long: not for an event loop."""
    if _fits(signature, body, keys):
        return True
    canonical = _canonical(body)
    return canonical is not None and canonical != body and _fits(signature, canonical, keys)


def _fits(signature: Signature, body: bytes, keys: Sequence[str]) -> bool:
    # every key is compared, so that the time taken does not reveal which one fits
    found = [hmac.compare_digest(_digest(key, body, signature.time), signature.digest) for key in keys]
    return any(found)


def _digest(key: str, body: bytes, time: str) -> str:
    mac = hmac.new(_PREFIX.sub("", key).encode(), body, hashlib.sha256)
    mac.update(time.encode())
    return mac.hexdigest()


def _canonical(body: bytes) -> bytes | None:
    try:
        text = body.decode()
        json_codec.check_counts(text, field="body")
        canonical: bytes = jcs.canonicalize(json.loads(text))
    except (ValueError, TypeError, RecursionError, ArithmeticError, InvalidInput):
        return None
    return canonical
