"""What the environment may say, and what production refuses."""

import hashlib

import pytest

from penstock.errors import SettingsError
from penstock.settings import Settings

DIGEST = hashlib.sha256(b"a key").hexdigest()
PRODUCTION = {
    "DATABASE_URL": "postgresql://app:hunter2@db.example/postgres",
    "PENSTOCK_API_KEYS": f"till:{DIGEST}:read+write",
    "INNGEST_SERVE_ORIGIN": "https://shop.example",
    "INNGEST_SIGNING_KEY": "signkey-prod-0a1B",
    "INNGEST_EVENT_KEY": "event-key",
}
LOCAL = {"DATABASE_URL": "postgresql://localhost/penstock", "PENSTOCK_ENV": "local"}


def test_a_complete_production_environment_is_accepted() -> None:
    settings = Settings.from_env(PRODUCTION)
    assert not settings.is_local
    assert settings.api_keys[0].name == "till"
    assert settings.api_keys[0].scopes == {"read", "write"}


def test_production_is_the_default_and_local_must_be_said() -> None:
    assert Settings.from_env(LOCAL).is_local
    with pytest.raises(SettingsError, match="PENSTOCK_API_KEYS"):
        Settings.from_env({"DATABASE_URL": LOCAL["DATABASE_URL"]})


@pytest.mark.parametrize(
    "missing", ["DATABASE_URL", "PENSTOCK_API_KEYS", "INNGEST_SERVE_ORIGIN", "INNGEST_SIGNING_KEY", "INNGEST_EVENT_KEY"]
)
def test_production_refuses_to_boot_without(missing: str) -> None:
    with pytest.raises(SettingsError, match=missing):
        Settings.from_env({name: value for name, value in PRODUCTION.items() if name != missing})


def test_production_refuses_inngest_dev() -> None:
    with pytest.raises(SettingsError, match="INNGEST_DEV"):
        Settings.from_env({**PRODUCTION, "INNGEST_DEV": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://x"),
        ("PENSTOCK_ENV", "staging"),
        ("PENSTOCK_TIMEZONE", "Mars/Olympus"),
        ("PENSTOCK_TIMEZONE", "../etc/passwd"),
        ("ETL_OVERLAP_DAYS", "-1"),
        ("ETL_OVERLAP_DAYS", "two"),
        ("PENSTOCK_SWEEP_MINUTES", "0"),
        ("PENSTOCK_SWEEP_MINUTES", "7"),
        ("PENSTOCK_SWEEP_MINUTES", "120"),
        ("INNGEST_BATCH_SIZE", "1"),
        ("PENSTOCK_API_KEYS", f"till:{DIGEST}:read+root"),
        ("PENSTOCK_API_KEYS", "till:plain-key:read"),
        ("WEBHOOK_SECRETS", "shop"),
        ("VERCEL", "1"),
        ("PENSTOCK_MAX_BODY_BYTES", "0"),
        ("RELAY_INTERVAL_MS", "soon"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_env({**LOCAL, name: value})


@pytest.mark.parametrize("secret", ["whsec_", "whsec_not-base64", "plain text", "whsec_b25", "schlüssel", "whsec_===="])
def test_a_webhook_secret_that_cannot_be_a_key_is_refused_by_its_entry_and_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError, match=r"^WEBHOOK_SECRETS entry 2 \(shop\): [^;]*base64[^;]*$") as caught:
        Settings.from_env({**LOCAL, "WEBHOOK_SECRETS": f"till=whsec_dHdv,shop={secret},shop=whsec_b25l"})
    assert secret.removeprefix("whsec_") in ("", "====") or secret.removeprefix("whsec_") not in str(caught.value)


@pytest.mark.parametrize("name", ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK"])
@pytest.mark.parametrize("environment", [PRODUCTION, LOCAL])
def test_a_signing_key_must_be_hexadecimal_after_its_prefix(name: str, environment: dict[str, str]) -> None:
    for key in ("signkey-prod-12ab", "signkey-test-AB", "00ff"):
        Settings.from_env({**environment, name: key})
    for key in (
        "signkey-prod-",
        "signkey-prod-abc",
        "signkey-prod-hidden",
        "signkey-ab",
        "signkey-prod-00\n",
        "xy",
        "é",
    ):
        with pytest.raises(SettingsError, match=f"^{name} must be hexadecimal[^;]*$") as caught:
            Settings.from_env({**environment, name: key})
        assert "hidden" not in str(caught.value)


def test_local_mode_is_refused_on_a_public_host_and_production_is_not() -> None:
    Settings.from_env({**PRODUCTION, "VERCEL": "1"})
    with pytest.raises(SettingsError, match=r"PENSTOCK_ENV=local .* VERCEL is set"):
        Settings.from_env({**LOCAL, "VERCEL": "1"})


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"PENSTOCK_TIMEZONE": "Nowhere"})
    for name in ("DATABASE_URL", "PENSTOCK_TIMEZONE", "PENSTOCK_API_KEYS", "INNGEST_SIGNING_KEY"):
        assert name in str(caught.value)


def test_no_secret_shows_in_a_repr_or_an_error() -> None:
    secrets = {**PRODUCTION, "WEBHOOK_SECRETS": "shop=whsec_c2VjcmV0", "SUPABASE_SECRET_KEY": "sb_secret_1"}
    shown = repr(Settings.from_env(secrets))
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**secrets, "INNGEST_DEV": "1", "PENSTOCK_API_KEYS": "x:secret-key:read"})
    for secret in ("hunter2", DIGEST, "whsec_c2VjcmV0", "sb_secret_1", "secret-key"):
        assert secret not in shown
        assert secret not in str(caught.value)


def test_a_webhook_source_may_have_two_secrets_while_one_rotates() -> None:
    settings = Settings.from_env({**LOCAL, "WEBHOOK_SECRETS": "shop=whsec_b25l, shop=whsec_dHdv,till=whsec_eA=="})
    assert settings.webhook_secrets == {"shop": ("whsec_b25l", "whsec_dHdv"), "till": ("whsec_eA==",)}
