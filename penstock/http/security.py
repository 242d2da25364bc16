"""Who may call what.

In production every route that asks for a scope needs `Authorization: Bearer <key>`; the settings know keys by their
hash only. Where `PENSTOCK_USERS_MAY_READ` says so, the token of a user of the Supabase project opens what asks for
`read`. On one machine (`PENSTOCK_ENV=local`) there are no keys; instead the request must be meant for this machine:
a page of another site can reach 127.0.0.1 through a rebound name or a form, but it cannot forge Host and Origin.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from penstock.errors import Forbidden, Unauthenticated
from penstock.loopback import host_name, is_local_origin, is_loopback
from penstock.settings import Scope, Settings
from penstock.supabase_project.user_tokens import UserTokens, is_token


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asked: the name goes into events as the actor."""

    name: str


LOCAL: Final = Caller("local")


def authorise(settings: Settings, authorization: str | None, scope: Scope) -> Caller:
    """The caller whose key has the scope. Raises `Unauthenticated` (no such key) or `Forbidden` (not with this key)."""
    if settings.is_local:
        return LOCAL
    kind, _, key = (authorization or "").partition(" ")
    if kind.lower() != "bearer" or not key:
        raise Unauthenticated("send a key: Authorization: Bearer <key>")
    digest = hashlib.sha256(key.strip().encode()).hexdigest()
    # every key is compared, so that the time taken does not reveal which one was close
    fitting = [known for known in settings.api_keys if hmac.compare_digest(known.sha256, digest)]
    if not fitting:
        raise Unauthenticated("this key is not known here")
    if scope not in fitting[0].scopes:
        raise Forbidden(f"the key {fitting[0].name} lacks the scope {scope}", scope=scope)
    return Caller(fitting[0].name)


def users_token(settings: Settings, authorization: str | None) -> str | None:
    """The token, where users of the Supabase project may read and one came in place of a key."""
    if settings.is_local or settings.users_may_read is None:
        return None
    kind, _, token = (authorization or "").partition(" ")
    token = token.strip()
    return token if kind.lower() == "bearer" and is_token(token) else None


def authorise_user(users: UserTokens, token: str, scope: Scope) -> Caller:
    """The user whose token it is. Raises `Unauthenticated`, or `Forbidden`, as for every scope but `read`."""
    if scope != "read":
        raise Forbidden(f"a user's token lacks the scope {scope}", scope=scope)
    return Caller(f"user:{users.reader(token)}")


def check_origin(settings: Settings, headers: Mapping[bytes, bytes]) -> None:
    """In local mode, refuse what a page of another site may have sent. Raises `Forbidden`."""
    if not settings.is_local:
        return
    allowed = {urlsplit(settings.inngest_serve_origin).hostname} if settings.inngest_serve_origin else set()
    host = host_name(headers.get(b"host", b"").decode("latin-1"))
    if host not in allowed and not is_loopback(host):
        raise Forbidden(f"local mode answers to localhost, not to {host[:100]!r}")
    origin = headers.get(b"origin")
    if origin is not None and not is_local_origin(origin.decode("latin-1")):
        raise Forbidden("local mode does not answer pages of other sites")
