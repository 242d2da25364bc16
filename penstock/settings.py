"""The environment, read once into one frozen object.

Nothing else in the project reads environment variables for its behaviour. Secrets never show in a repr.
Production is the default and strict; `PENSTOCK_ENV=local` (what `penstock up` sets) is for one machine.
"""

import base64
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from penstock.errors import InvalidInput, SettingsError
from penstock.loopback import is_loopback

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
API_KEY_NAME: Final = r"[A-Za-z0-9_.-]{1,64}"

_OURS = {"raw", "staging", "ops", "penstock"}
_SUPABASES = {"auth", "cron", "extensions", "graphql", "graphql_public", "net", "realtime", "storage", "vault"}
_TAKEN_SCHEMAS = {"information_schema", "supabase_functions", "supabase_migrations", *_OURS, *_SUPABASES}


@dataclass(frozen=True)
class ApiKey:
    """One caller: `name` goes into events as the actor, `sha256` is the hex digest of the key."""

    name: str
    sha256: str = field(repr=False)
    scopes: frozenset[Scope]


@dataclass(frozen=True)
class Settings:
    """All that can be configured. See `.env.example` for one line on each variable."""

    database_url: str = field(repr=False)
    environment: Literal["local", "production"] = "production"
    timezone: str = "UTC"
    currency: str | None = None
    earliest_day: date = date(1990, 1, 1)
    etl_overlap_days: int = 2
    api_keys: tuple[ApiKey, ...] = ()
    webhook_secrets: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    storage_folder: Path = Path(".penstock/uploads")
    supabase_url: str | None = None
    supabase_secret_key: str | None = field(default=None, repr=False)
    supabase_publishable_key: str | None = field(default=None, repr=False)
    users_may_read: Literal["marked", "all"] | None = None
    inngest_dev: str | None = None
    inngest_serve_origin: str | None = None
    max_body_bytes: int = 4_500_000
    max_upload_bytes: int = 10_000_000_000
    relay_interval_ms: int = 200
    sweep_minutes: int = 15

    @property
    def is_local(self) -> bool:
        return self.environment == "local"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> "Settings":
        """Read and check the environment; raise `SettingsError` naming every variable that is wrong."""
        env = os.environ if env is None else env
        faults: list[str] = []
        settings = cls(
            database_url=_database_url(env, faults),
            environment=_environment(env, faults),
            timezone=_timezone(env, faults),
            currency=_currency(env, faults),
            earliest_day=_earliest_day(env, faults),
            etl_overlap_days=_whole_number(env, "ETL_OVERLAP_DAYS", 2, faults, at_most=366),
            api_keys=_api_keys(env, faults),
            webhook_secrets=_webhook_secrets(env, faults),
            storage_folder=Path(env.get("PENSTOCK_STORAGE_FOLDER") or ".penstock/uploads"),
            supabase_url=env.get("SUPABASE_URL") or None,
            supabase_secret_key=env.get("SUPABASE_SECRET_KEY") or None,
            supabase_publishable_key=_publishable_key(env, faults),
            users_may_read=_users_may_read(env, faults),
            inngest_dev=env.get("INNGEST_DEV") or None,
            inngest_serve_origin=env.get("INNGEST_SERVE_ORIGIN") or None,
            max_body_bytes=_whole_number(env, "PENSTOCK_MAX_BODY_BYTES", 4_500_000, faults, at_least=1024),
            max_upload_bytes=_whole_number(env, "PENSTOCK_MAX_UPLOAD_BYTES", 10_000_000_000, faults, at_least=1024),
            relay_interval_ms=_whole_number(env, "RELAY_INTERVAL_MS", 200, faults, at_most=60_000),
            sweep_minutes=_sweep_minutes(env, faults),
        )
        _batch_size(env, faults)
        _public_schema(env, faults)
        faults += _signing_key_faults(env)
        faults += _local_faults(env) if settings.is_local else _production_faults(settings, env)
        if faults:
            raise SettingsError("; ".join(faults))
        return settings


@dataclass(frozen=True)
class SettingDefault:
    """What a field of outside data is where they do not say it: `name` in `Settings`, `variable` in its environment.

    `examples` are values such as it may have, for the message or the question that asks for one.
    """

    name: str
    variable: str
    examples: tuple[str, ...]

    def said_by(self, settings: Settings) -> str | None:
        value = getattr(settings, self.name)
        return None if value is None else str(value)

    def required(self, settings: Settings, field: str) -> str:
        """Raises `InvalidInput` that names the field and the variable, if the settings do not say it."""
        value = self.said_by(settings)
        if value is None:
            reason = f"missing, and {self.variable} is not set: give one, such as {self.examples[0]}"
            raise InvalidInput(reason, field=field)
        return value


CURRENCY: Final = SettingDefault("currency", "PENSTOCK_CURRENCY", ("EUR", "USD", "GBP"))


@cache
def get_settings() -> Settings:
    """The settings of this process. Read at first use, not at import: a build has no secrets."""
    return Settings.from_env()


def business_timezone() -> str:
    """The zone alone, for what is fixed when the app is imported, maybe without the other settings: the schedules.

    A wrong one is UTC here; `from_env` says what is wrong with it.
    """
    return _timezone(os.environ, [])


def batch_size() -> int:
    """How many events a listener gets in one run at most, fixed like the zone when the app is imported."""
    return _batch_size(os.environ, [])


def sweep_minutes() -> int:
    """How many minutes are between two sweeps, fixed like the zone when the app is imported."""
    return _sweep_minutes(os.environ, [])


def earliest_day() -> date:
    """The first day that an event may have, alone, for what checks events without the other settings at hand."""
    return _earliest_day(os.environ, [])


def public_schema() -> str:
    """The schema that has what Penstock puts into `public`, for connections and migrations, which know no settings.

    A name that cannot be one is `public` here; `from_env` says what is wrong with it.
    """
    return _public_schema(os.environ, [])


def webhook_key(secret: str) -> bytes:
    """The bytes of a webhook's secret: base64, with or without the prefix `whsec_`. Raises `ValueError`."""
    key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    if not key:
        raise ValueError("an empty key: with it anybody could sign")
    return key


def _local_faults(env: Mapping[str, str]) -> list[str]:
    if not env.get("VERCEL"):
        return []
    return ["PENSTOCK_ENV=local switches authentication off and must not be set on a public host: VERCEL is set"]


def _production_faults(settings: Settings, env: Mapping[str, str]) -> list[str]:
    faults = []
    if not settings.api_keys:
        faults.append("PENSTOCK_API_KEYS is not set: production needs at least one key")
    if settings.inngest_dev:
        faults.append("INNGEST_DEV switches signature checks off and must not be set in production")
    if not settings.inngest_serve_origin:
        faults.append("INNGEST_SERVE_ORIGIN is not set: without it a forged Host header re-registers the app")
    if not env.get("INNGEST_SIGNING_KEY"):
        faults.append("INNGEST_SIGNING_KEY is not set: calls from Inngest could not be checked")
    if not env.get("INNGEST_EVENT_KEY"):
        faults.append("INNGEST_EVENT_KEY is not set: events could not be sent")
    return faults


def _signing_key_faults(env: Mapping[str, str]) -> list[str]:
    """Inngest's SDK reads them at each call: one that it cannot read is a 500, an empty one lets anybody sign."""
    given = {name: env.get(name, "") for name in ("INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK")}
    return [
        f"{name} must be hexadecimal after its prefix, as in signkey-prod-0123abcd: copy it from Inngest again"
        for name, key in given.items()
        if key and not re.fullmatch(r"(signkey-\w+-)?([0-9a-fA-F]{2})+", key, re.ASCII)
    ]


def _database_url(env: Mapping[str, str], faults: list[str]) -> str:
    url = env.get("DATABASE_URL", "")
    if not url:
        faults.append("DATABASE_URL is not set")
    elif not url.startswith(("postgres://", "postgresql://")):
        faults.append("DATABASE_URL does not start with postgresql://")
    return url


def _environment(env: Mapping[str, str], faults: list[str]) -> Literal["local", "production"]:
    value = env.get("PENSTOCK_ENV") or "production"
    if value == "local":
        return "local"
    if value != "production":
        faults.append(f"PENSTOCK_ENV is {value!r}, not local or production")
    return "production"


def _timezone(env: Mapping[str, str], faults: list[str]) -> str:
    name = env.get("PENSTOCK_TIMEZONE") or "UTC"
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        faults.append(f"PENSTOCK_TIMEZONE is {name!r}, which is not an IANA time zone")
        return "UTC"
    return name


def _currency(env: Mapping[str, str], faults: list[str]) -> str | None:
    """What money is in where nobody says it. There is no default: a wrong guess would be in every figure."""
    code = env.get("PENSTOCK_CURRENCY") or None
    if code is not None and not re.fullmatch(r"[A-Z]{3}", code):
        faults.append(f"PENSTOCK_CURRENCY is {code!r}, not a code of ISO 4217 such as EUR")
        return None
    return code


def _earliest_day(env: Mapping[str, str], faults: list[str]) -> date:
    """From 1900 on: no figure is made of what is older."""
    text = env.get("PENSTOCK_EARLIEST_DAY") or "1990-01-01"
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if len(text) != 10 or not 1900 <= day.year < 2100:
        faults.append(f"PENSTOCK_EARLIEST_DAY is {text!r}, not a day from 1900-01-01 to 2099-12-31")
        return date(1990, 1, 1)
    return day


def _public_schema(env: Mapping[str, str], faults: list[str]) -> str:
    """Any schema but those that are taken: Postgres' own, Penstock's other ones and Supabase's."""
    name = env.get("PENSTOCK_PUBLIC_SCHEMA") or "public"
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", name) or name.startswith("pg_") or name in _TAKEN_SCHEMAS:
        faults.append(
            f"PENSTOCK_PUBLIC_SCHEMA is {name!r}, not a name of a-z, 0-9 and _ for a schema that nobody else has"
        )
        return "public"
    return name


def _publishable_key(env: Mapping[str, str], faults: list[str]) -> str | None:
    key = env.get("SUPABASE_PUBLISHABLE_KEY") or None
    if key and (key.startswith("sb_secret_") or key == env.get("SUPABASE_SECRET_KEY")):
        faults.append("SUPABASE_PUBLISHABLE_KEY is a secret key: it must be the one that browsers get")
    return key


def _users_may_read(env: Mapping[str, str], faults: list[str]) -> Literal["marked", "all"] | None:
    wanted = env.get("PENSTOCK_USERS_MAY_READ") or None
    if wanted is None:
        return None
    if wanted not in ("marked", "all"):
        faults.append(f"PENSTOCK_USERS_MAY_READ is {wanted!r}, not marked or all")
        return None
    address = urlsplit(env.get("SUPABASE_URL", ""))
    if address.scheme != "https" and not (address.scheme == "http" and is_loopback(address.hostname or "")):
        faults.append("PENSTOCK_USERS_MAY_READ needs SUPABASE_URL, beginning with https://: the users' keys are there")
    return "all" if wanted == "all" else "marked"


def _whole_number(
    env: Mapping[str, str],
    name: str,
    default: int,
    faults: list[str],
    *,
    at_least: int = 0,
    at_most: int = 10**12,
) -> int:
    text = env.get(name) or str(default)
    if not re.fullmatch(r"[0-9]{1,13}", text) or not at_least <= int(text) <= at_most:
        faults.append(f"{name} is {text!r}, not a whole number from {at_least} to {at_most}")
        return default
    return int(text)


def _batch_size(env: Mapping[str, str], faults: list[str]) -> int:
    """5 by default, the most that Inngest's free plan takes: a larger one is refused when the app registers."""
    return _whole_number(env, "INNGEST_BATCH_SIZE", 5, faults, at_least=2, at_most=100)


def _sweep_minutes(env: Mapping[str, str], faults: list[str]) -> int:
    """A part of an hour, since a cron of any other number of minutes would be irregular."""
    minutes = _whole_number(env, "PENSTOCK_SWEEP_MINUTES", 15, faults, at_least=1, at_most=60)
    if 60 % minutes:
        faults.append(f"PENSTOCK_SWEEP_MINUTES is {minutes}, which does not divide an hour: 1, 5, 10, 15, 30 or 60 do")
        return 15
    return minutes


def _api_keys(env: Mapping[str, str], faults: list[str]) -> tuple[ApiKey, ...]:
    """`name:sha256hex:read+write,…`: names for the audit, hashes instead of keys."""
    keys = []
    for number, entry in enumerate(_entries(env.get("PENSTOCK_API_KEYS", "")), start=1):
        match = re.fullmatch(rf"({API_KEY_NAME}):([0-9a-f]{{64}}):([a-z+]+)", entry)
        scopes = frozenset(scope for scope in SCOPES if match and scope in match[3].split("+"))
        if not match or len(scopes) != len(match[3].split("+")):
            faults.append(f"PENSTOCK_API_KEYS entry {number} is not name:sha256hex:read+write+admin")
            continue
        keys.append(ApiKey(match[1], match[2], scopes))
    return tuple(keys)


def _webhook_secrets(env: Mapping[str, str], faults: list[str]) -> dict[str, tuple[str, ...]]:
    """`source=secret,source=secret`: a source may appear twice while its secret rotates."""
    secrets: dict[str, tuple[str, ...]] = {}
    for number, entry in enumerate(_entries(env.get("WEBHOOK_SECRETS", "")), start=1):
        source, _, secret = entry.partition("=")
        if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,62}", source) or not secret:
            faults.append(f"WEBHOOK_SECRETS entry {number} is not source=secret")
            continue
        try:
            webhook_key(secret)
        except ValueError:
            faults.append(
                f"WEBHOOK_SECRETS entry {number} ({source}): the secret must be base64, after whsec_ or alone"
            )
            continue
        secrets[source] = (*secrets.get(source, ()), secret)
    return secrets


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]
