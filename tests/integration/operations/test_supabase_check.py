"""The doctor on a Supabase project: a secret key may refresh views over HTTP, the publishable one may not."""

import dataclasses
from collections.abc import Callable, Iterator

import httpx
import pytest
import respx

from penstock.operations.check import Check
from penstock.operations.supabase_check import check_supabase
from penstock.settings import Settings

SECRET, PUBLISHABLE = "sb_secret_of_the_doctor", "sb_publishable_of_the_doctor"
URL = "https://project.supabase.co"
NO_VIEW = httpx.Response(400, json={"code": "PK007", "message": "no materialized view '' is registered"})
NO_RIGHT = httpx.Response(401, json={"code": "42501", "message": "permission denied for function"})
NO_KEY = httpx.Response(401, json={"message": "Invalid API key", "hint": "Double check your API key."})
SETTINGS = Settings(database_url="", supabase_url=URL, supabase_secret_key=SECRET, supabase_publishable_key=PUBLISHABLE)


@pytest.fixture
def rpc() -> Iterator[respx.Route]:
    with respx.mock:
        yield respx.post(f"{URL}/rest/v1/rpc/refresh_materialized_view")


def by_key(secret: httpx.Response, publishable: httpx.Response) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        key = request.headers["apikey"]
        assert request.headers["authorization"] == f"Bearer {key}"
        return {SECRET: secret, PUBLISHABLE: publishable}[key]

    return answer


def checks(settings: Settings = SETTINGS) -> list[Check]:
    return list(check_supabase(settings))


def test_keys_that_do_what_they_should_pass_and_nothing_is_refreshed(rpc: respx.Route) -> None:
    rpc.mock(side_effect=by_key(NO_VIEW, NO_RIGHT))
    assert [(check.name, check.ok) for check in checks()] == [
        ("supabase secret key", True),
        ("supabase publishable key", True),
    ]
    assert {call.request.content for call in rpc.calls} == {b'{"view_name":""}'}


def test_a_publishable_key_that_may_refresh_is_noticed(rpc: respx.Route) -> None:
    rpc.mock(side_effect=by_key(NO_VIEW, NO_VIEW))
    assert [check.ok for check in checks()] == [True, False]
    assert "revoke execute" in checks()[1].message


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NO_RIGHT, "permission denied"),
        (NO_KEY, "Invalid API key"),
        (httpx.Response(502, text="<html>"), "bad gateway"),
        (httpx.Response(200, json={}), "without a name was refreshed"),
        (httpx.ConnectError(f"refused {SECRET}"), "refused"),
    ],
)
def test_a_key_that_cannot_is_said_without_showing_it(
    rpc: respx.Route, answer: httpx.Response | Exception, said: str
) -> None:
    rpc.mock(**{"side_effect" if isinstance(answer, Exception) else "return_value": answer})  # type: ignore[arg-type]
    secret, publishable = checks()
    assert not secret.ok
    assert said.lower() in secret.message.lower()
    assert SECRET not in secret.message + publishable.message
    assert publishable.ok == (answer is NO_RIGHT)


def test_only_what_is_configured_is_tried(rpc: respx.Route) -> None:
    assert checks(Settings(database_url="")) == []
    rpc.mock(return_value=NO_VIEW)
    assert [check.name for check in checks(dataclasses.replace(SETTINGS, supabase_publishable_key=None))] == [
        "supabase secret key"
    ]
    assert repr(SETTINGS).count("sb_") == 0
