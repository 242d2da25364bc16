"""Signatures: the published vectors, and what an attacker would try."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from penstock.errors import InvalidInput, SettingsError, Unauthenticated
from penstock.ingest.webhooks.signatures import TOLERANCE_SECONDS, verify

VECTORS = json.loads((Path(__file__).parents[3] / "data" / "standard_webhooks_vectors.json").read_text())["vectors"]
NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
OLD, NEW = "whsec_b2xkIHNlY3JldA==", "whsec_bmV3IHNlY3JldA=="
BODY = b'{"type": "x", "data": {}}'


def signed(secret: str = NEW, at: datetime = NOW, id: str = "msg_1", body: bytes = BODY) -> dict[str, str]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    stamp = str(int(at.timestamp()))
    digest = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": id,
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_published_vector(vector: dict) -> None:
    now = datetime.fromtimestamp(vector["now"], UTC)
    arguments = (vector["headers"], vector["body"].encode(), [vector["secret"]], now)
    if vector["expect"].startswith("valid"):
        assert verify(*arguments) == vector["headers"]["webhook-id"]
    else:
        with pytest.raises(Unauthenticated):
            verify(*arguments)


def test_both_secrets_hold_while_one_is_exchanged() -> None:
    for secret in (OLD, NEW):
        assert verify(signed(secret), BODY, [OLD, NEW], NOW) == "msg_1"
    with pytest.raises(Unauthenticated):
        verify(signed(OLD), BODY, [NEW], NOW)


@pytest.mark.parametrize(("seconds", "fits"), [(0, True), (300, True), (-300, True), (301, False), (-301, False)])
def test_the_window_is_five_minutes_both_ways(seconds: int, fits: bool) -> None:
    assert TOLERANCE_SECONDS == 300
    headers = signed(at=NOW + timedelta(seconds=seconds))
    if fits:
        verify(headers, BODY, [NEW], NOW)
    else:
        with pytest.raises(Unauthenticated, match="timestamp"):
            verify(headers, BODY, [NEW], NOW)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
@pytest.mark.parametrize("value", [None, "", "é", "a\x00b", "v1,", "v1", "-5", "99999999999999999999999"])
def test_a_header_that_is_missing_or_broken_is_no_proof(name: str, value: str | None) -> None:
    headers = signed()
    headers.pop(name)
    if value is not None:
        headers[name] = value
    with pytest.raises(Unauthenticated):
        verify(headers, BODY, [NEW], NOW)


def test_the_signature_covers_every_part() -> None:
    for change in ({"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(NOW.timestamp()) + 1)}):
        with pytest.raises(Unauthenticated):
            verify(signed() | change, BODY, [NEW], NOW)
    with pytest.raises(Unauthenticated):
        verify(signed(), BODY + b" ", [NEW], NOW)


def test_bytes_that_are_no_text_can_be_signed() -> None:
    body = b"\xff\x00\xfe"
    assert verify(signed(body=body), body, [NEW], NOW) == "msg_1"


def test_an_id_too_long_to_be_kept_is_refused_once_it_is_proven() -> None:
    with pytest.raises(InvalidInput, match="webhook-id"):
        verify(signed(id="m" * 201), BODY, [NEW], NOW)


@pytest.mark.parametrize("secret", ["whsec_not base64!", "whsec_schlüssel", "whsec_", ""])
def test_a_secret_that_cannot_be_a_key_is_a_fault_of_the_settings_and_is_not_shown(secret: str) -> None:
    with pytest.raises(SettingsError) as error:
        verify(signed("whsec_"), BODY, [secret], NOW)
    assert "not base64!" not in str(error.value)
