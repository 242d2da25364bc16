"""Users' tokens: genuine ones are known by the project's keys, and nothing that is wrong with one lets it pass."""

import base64
import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator

import httpx
import pytest
import respx

from penstock.errors import Forbidden, PenstockError, Unauthenticated, Unavailable
from penstock.settings import Settings
from penstock.supabase_project import user_tokens
from penstock.supabase_project.user_tokens import UserTokens, is_token
from tests.unit.supabase_project.tokens import ISSUER, KEYS_URL, PROJECT, USER, SigningKey, rsa_key, unsigned

KEY = SigningKey("k1")
SETTINGS = Settings(database_url="postgresql://x", supabase_url=PROJECT + "/", users_may_read="marked")


@pytest.fixture
def project() -> Iterator[respx.Route]:
    """The project's keys, and nothing else: any other request fails the test."""
    with respx.mock:
        yield respx.get(KEYS_URL).respond(200, json={"keys": [KEY.public]})


@pytest.mark.usefixtures("project")
def test_a_genuine_token_names_its_user() -> None:
    assert is_token(KEY.token())
    assert UserTokens(SETTINGS).reader(KEY.token()) == USER
    assert UserTokens(SETTINGS).reader(KEY.token(aud=["other", "authenticated"])) == USER


def test_rsa_keys_are_known_too(project: respx.Route) -> None:
    key = rsa_key("r1")
    project.respond(200, json={"keys": [KEY.public, key.public]})
    users = UserTokens(SETTINGS)
    assert (users.reader(key.token()), users.reader(KEY.token())) == (USER, USER)
    assert project.call_count == 1


WRONG = {
    "expired": {"exp": int(time.time()) - 1},
    "never expires": {"exp": None},
    "of another project": {"iss": "https://other.supabase.co/auth/v1"},
    "of nobody's project": {"iss": None},
    "for another audience": {"aud": "shop"},
    "for no audience": {"aud": None},
    "of a service": {"role": "service_role"},
    "of nobody": {"role": "anon"},
    "anonymous": {"is_anonymous": True},
    "not valid yet": {"nbf": int(time.time()) + 3600},
    "without a user": {"sub": None},
    "of a strange user": {"sub": "x\ny"},
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.usefixtures("project")
def test_a_token_with_a_wrong_claim_is_refused(what: str) -> None:
    with pytest.raises(Unauthenticated):
        UserTokens(SETTINGS).reader(KEY.token(**WRONG[what]))


@pytest.mark.usefixtures("project")
def test_a_token_of_another_key_is_refused_though_it_bears_the_name() -> None:
    with pytest.raises(Unauthenticated, match="signature"):
        UserTokens(SETTINGS).reader(SigningKey("k1").token())
    header, _, signature = KEY.token().split(".")
    with pytest.raises(Unauthenticated, match="signature"):
        UserTokens(SETTINGS).reader(f"{header}.{KEY.token(sub='admin').split('.')[1]}.{signature}")


def confused() -> Iterator[tuple[str, str]]:
    """Tokens that nobody with a key of the project signed, each for another way to be believed."""
    good = KEY.token()
    yield "none", unsigned({"alg": "none", "typ": "JWT", "kid": "k1"}, good)
    yield "None", unsigned({"alg": "None", "kid": "k1"}, good)
    yield "no key's name", unsigned({"alg": "ES256", "typ": "JWT"}, good, good.split(".")[2])
    yield "a key's name that is a number", unsigned({"alg": "ES256", "kid": 1}, good)
    yield "the other algorithm", unsigned({"alg": "RS256", "kid": "k1"}, good)
    yield "critical", KEY.token(header={"crit": ["b64"], "b64": False})
    for algorithm, digest in (("HS256", hashlib.sha256), ("HS512", hashlib.sha512)):
        for name, secret in (("the key", json.dumps(KEY.public)), ("its point", KEY.public["x"]), ("nothing", "")):
            signed = unsigned({"alg": algorithm, "kid": "k1"}, good).rpartition(".")[0]
            mac = (
                base64.urlsafe_b64encode(hmac.new(secret.encode(), signed.encode(), digest).digest())
                .decode()
                .rstrip("=")
            )
            yield f"{algorithm} by {name}", f"{signed}.{mac}"
    yield "the public key's own", unsigned({"alg": "ES256", "kid": "k1", "jwk": SigningKey("k1").public}, good)
    for text in ("eyJ.e30.AA", f"{base64.urlsafe_b64encode(b'{[').decode()}.e30.AA", "eyJhbGciOiJFUzI1NiJ9.W10.AA"):
        yield text, text


@pytest.mark.parametrize("what", [name for name, _ in confused()])
@pytest.mark.usefixtures("project")
def test_no_other_algorithm_and_no_broken_token_is_believed_nor_asked_about(what: str) -> None:
    with pytest.raises(Unauthenticated):
        UserTokens(SETTINGS).reader(dict(confused())[what])


def test_a_shared_secret_among_the_keys_signs_nothing(project: respx.Route) -> None:
    shared = {"kty": "oct", "k": base64.urlsafe_b64encode(b"s" * 32).decode(), "kid": "s1", "alg": "HS256"}
    project.respond(200, json={"keys": [shared, {**shared, "kid": "s2", "kty": "EC"}]})
    for kid in ("s1", "s2"):
        for algorithm in ("HS256", "ES256"):
            with pytest.raises(Unauthenticated):
                UserTokens(SETTINGS).reader(unsigned({"alg": algorithm, "kid": kid}, KEY.token()))


def test_keys_are_asked_for_once_however_many_unknown_ones_are_named(project: respx.Route) -> None:
    users = UserTokens(SETTINGS)
    for number in range(20):
        with pytest.raises(Unauthenticated, match="not the project's"):
            users.reader(SigningKey(f"unknown{number}").token())
    assert users.reader(KEY.token()) == USER
    assert project.call_count == 1


def test_a_new_key_is_found_and_an_old_one_forgotten(project: respx.Route, monkeypatch: pytest.MonkeyPatch) -> None:
    users, now = UserTokens(SETTINGS), [1000.0]
    monkeypatch.setattr(user_tokens.time, "monotonic", lambda: now[0])
    assert users.reader(KEY.token()) == USER
    following = SigningKey("k2")
    project.respond(200, json={"keys": [following.public]})
    with pytest.raises(Unauthenticated):
        users.reader(following.token())
    now[0] += user_tokens.PAUSE_SECONDS
    assert users.reader(following.token()) == USER
    with pytest.raises(Unauthenticated):
        users.reader(KEY.token())
    assert project.call_count == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": [1]}),
        httpx.ConnectError("refused"),
    ],
)
def test_while_the_keys_cannot_be_had_it_is_a_503_and_kept_ones_hold(
    project: respx.Route, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response | Exception
) -> None:
    users, now = UserTokens(SETTINGS), [1000.0]
    monkeypatch.setattr(user_tokens.time, "monotonic", lambda: now[0])
    assert users.reader(KEY.token()) == USER
    project.mock(**{"side_effect" if isinstance(answer, Exception) else "return_value": answer})  # type: ignore[arg-type]
    now[0] += user_tokens.KEYS_KEPT_SECONDS - 1
    assert users.reader(KEY.token()) == USER
    now[0] += 1
    for _ in range(3):
        with pytest.raises(Unavailable) as caught:
            users.reader(KEY.token())
    assert caught.value.retry_after == user_tokens.PAUSE_SECONDS
    assert project.call_count == 2


MARKS = ({}, None, "read", {"penstock": "write"}, {"penstock": ["write"]}, {"penstock": True})


@pytest.mark.usefixtures("project")
def test_only_users_whom_the_owner_has_marked_may_read() -> None:
    users = UserTokens(SETTINGS)
    for metadata in MARKS:
        with pytest.raises(Forbidden, match="penstock: read") as caught:
            users.reader(KEY.token(app_metadata=metadata, user_metadata={"penstock": "read"}))
        assert not isinstance(caught.value, Unauthenticated)
    assert users.reader(KEY.token(app_metadata={"penstock": ["write", "read"]})) == USER
    everybody = UserTokens(Settings(database_url="", supabase_url=PROJECT, users_may_read="all"))
    assert everybody.reader(KEY.token(app_metadata=None)) == USER


@pytest.mark.usefixtures("project")
def test_a_token_is_in_no_error_log_or_repr(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    users = UserTokens(SETTINGS)
    for token in (
        KEY.token(),
        KEY.token(exp=1),
        KEY.token(aud="x"),
        SigningKey("k1").token(),
        SigningKey("k9").token(),
    ):
        said = repr(users)
        try:
            users.reader(token)
        except PenstockError as error:
            said += repr(error) + str(error.details)
        for part in token.split("."):
            assert part not in said + caplog.text


@pytest.mark.parametrize(
    "text", ["", "key-reader", "eyJ", "eyJ.e30", "eyJhbGciOiJFUzI1NiJ9.e30.", "a.b.c", "eyJé.e30.AA"]
)
def test_what_has_not_the_shape_of_a_token_is_none(text: str) -> None:
    assert not is_token(text)
    assert not is_token("eyJ" + "a" * user_tokens.MAX_TOKEN + ".e30.AA")


def test_the_issuer_is_the_projects() -> None:
    assert UserTokens(SETTINGS)._issuer == ISSUER
