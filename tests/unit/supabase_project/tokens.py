"""Users' tokens as Supabase Auth makes them, signed by keys that are made for the tests."""

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PROJECT = "https://project.supabase.co"
ISSUER = f"{PROJECT}/auth/v1"
KEYS_URL = f"{ISSUER}/.well-known/jwks.json"
USER = "3f9b0d1e-0000-4000-8000-000000000007"


@dataclass
class SigningKey:
    kid: str
    algorithm: str = "ES256"
    private: Any = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def public(self) -> dict[str, Any]:
        made_by = jwt.get_algorithm_by_name(self.algorithm)
        jwk = json.loads(made_by.to_jwk(self.private.public_key()))
        return {**jwk, "kid": self.kid, "alg": self.algorithm, "use": "sig"}

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        payload = {
            "iss": ISSUER,
            "sub": USER,
            "aud": "authenticated",
            "exp": now + 3600,
            "iat": now,
            "role": "authenticated",
            "is_anonymous": False,
            "app_metadata": {"provider": "email", "penstock": "read"},
            **claims,
        }
        said = {name: value for name, value in payload.items() if value is not None}
        return jwt.encode(said, self.private, self.algorithm, {"kid": self.kid, **(header or {})})


def rsa_key(kid: str) -> SigningKey:
    return SigningKey(kid, "RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048))


def unsigned(header: dict[str, Any], token: str, signature: str = "AA") -> str:
    """The claims of `token` under another header."""
    first = base64.urlsafe_b64encode(json.dumps(header).encode()).decode().rstrip("=")
    return f"{first}.{token.split('.')[1]}.{signature}"
