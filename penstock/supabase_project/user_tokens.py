"""Tokens of the Supabase project's users: whether one is genuine, and may read.

Supabase's client checks signature and expiry, by the project's public keys. What it would ask the project for, it never
gets to: a token without a known key, or of an algorithm that is not the key's, is refused before, so that nobody can
make this server send requests by inventing tokens. A token is in no message, log or repr.
"""

import base64
import re
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import httpx

from penstock import json_codec
from penstock.errors import Forbidden, InvalidInput, Unauthenticated, Unavailable
from penstock.settings import Settings

if TYPE_CHECKING:
    from supabase import SupabaseAuthClient
    from supabase_auth.types import JWKSet

KEYS_KEPT_SECONDS: Final = 600.0
"""A key that the project revokes is trusted no longer than this."""
PAUSE_SECONDS: Final = 30.0
"""Between two requests for the keys, whatever tokens come meanwhile."""
MAX_TOKEN: Final = 8192
_ALGORITHMS: Final = {"ES256": "EC", "RS256": "RSA"}
_CLOCKS_DIFFER_SECONDS: Final = 60
_SUBJECT: Final = re.compile(r"[0-9A-Za-z-]{1,64}")
_SHAPE: Final = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


def is_token(text: str) -> bool:
    """Whether it looks like a user's token at all, and not like a key of ours."""
    return len(text) <= MAX_TOKEN and _SHAPE.fullmatch(text) is not None


class UserTokens:
    """The verifier for one project; keep it, since it keeps the project's keys. Safe to share between threads."""

    def __init__(self, settings: Settings) -> None:
        assert settings.supabase_url is not None
        self._issuer = f"{settings.supabase_url.rstrip('/')}/auth/v1"
        self._only_marked = settings.users_may_read != "all"
        self._lock = threading.Lock()
        self._keys: Mapping[str, dict[str, Any]] = {}
        self._asked_at = self._got_at = float("-inf")
        self._auth: SupabaseAuthClient | None = None

    def reader(self, token: str) -> str:
        """The id of the user whose token it is, who may read.

        Raises `Unauthenticated` for a token that is not genuine or not valid now, `Forbidden` for a user who may not
        read, `Unavailable` while the project's keys cannot be had.
        """
        header, claims = _part(token, 0), _part(token, 1)
        key = self._key_of(header)
        self._check_signature(token, key)
        self._check_claims(claims)
        if self._only_marked and "read" not in _marks(claims):
            raise Forbidden("this user may not read here: app_metadata has no penstock: read")
        return str(claims["sub"])

    def _key_of(self, header: Mapping[str, Any]) -> dict[str, Any]:
        name, algorithm = header.get("kid"), header.get("alg")
        if not isinstance(name, str) or algorithm not in _ALGORITHMS or "crit" in header:
            raise Unauthenticated("this token is not signed as a user's token is")
        key = self._find_key(name)
        if key is None:
            raise Unauthenticated("this token is signed by a key that is not the project's")
        if key.get("kty") != _ALGORITHMS[algorithm] or key.get("alg", algorithm) != algorithm:
            raise Unauthenticated("this token is not signed as its key does")
        return key

    def _find_key(self, name: str) -> dict[str, Any] | None:
        with self._lock:
            now = time.monotonic()
            is_fresh = now - self._got_at < KEYS_KEPT_SECONDS
            if name in self._keys and is_fresh:
                return self._keys[name]
            if now - self._asked_at >= PAUSE_SECONDS:
                self._asked_at = now
                self._keys = self._ask_for_keys()
                self._got_at, is_fresh = now, True
            if not is_fresh:
                raise Unavailable("the keys of the project's users cannot be had", retry_after=PAUSE_SECONDS)
            return self._keys.get(name)

    def _ask_for_keys(self) -> dict[str, dict[str, Any]]:
        try:
            answer = httpx.get(f"{self._issuer}/.well-known/jwks.json", timeout=5)
            answer.raise_for_status()
            keys = answer.json()["keys"]
            return {key["kid"]: key for key in keys if key.get("kty") in _ALGORITHMS.values() and "kid" in key}
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable("the keys of the project's users cannot be had", retry_after=PAUSE_SECONDS) from error

    def _check_signature(self, token: str, key: dict[str, Any]) -> None:
        from jwt import PyJWTError
        from supabase import AuthError

        try:
            self._client().get_claims(token, cast("JWKSet", {"keys": [key]}))
        except (AuthError, PyJWTError, ValueError) as error:
            raise Unauthenticated("this token has expired, or its signature does not fit") from error

    def _client(self) -> "SupabaseAuthClient":
        from supabase import SupabaseAuthClient

        if self._auth is None:
            self._auth = SupabaseAuthClient(url=self._issuer, auto_refresh_token=False, persist_session=False)
        return self._auth

    def _check_claims(self, claims: Mapping[str, Any]) -> None:
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer:
            raise Unauthenticated("this token is of another project")
        if "authenticated" not in (audience if isinstance(audience, list) else [audience]):
            raise Unauthenticated("this token is not meant for the project's users")
        if claims.get("role") != "authenticated" or claims.get("is_anonymous"):
            raise Unauthenticated("this token is not a signed-in user's")
        begins = claims.get("nbf", 0)
        if not isinstance(begins, int | float) or begins > time.time() + _CLOCKS_DIFFER_SECONDS:
            raise Unauthenticated("this token is not valid yet")
        if not _SUBJECT.fullmatch(str(claims.get("sub", ""))):
            raise Unauthenticated("this token names no user")


def _part(token: str, number: int) -> dict[str, Any]:
    text = token.split(".")[number]
    try:
        part = json_codec.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), field="token")
    except (ValueError, InvalidInput):
        part = None
    if not isinstance(part, dict):
        raise Unauthenticated("this token cannot be read")
    return part


def _marks(claims: Mapping[str, Any]) -> list[Any]:
    """What `app_metadata` says, which the project's owner alone can write, unlike `user_metadata`."""
    metadata = claims.get("app_metadata")
    said = metadata.get("penstock") if isinstance(metadata, dict) else None
    return said if isinstance(said, list) else [said]
