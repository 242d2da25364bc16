"""Users of the Supabase project read with their own tokens, where a setting says so; and do nothing else."""

import dataclasses
import logging
from collections.abc import Iterator

import pytest
import respx

from penstock.settings import Settings
from tests.integration.http.conftest import KEYS, Api, as_production, running
from tests.integration.http.test_bad_input import assert_problem
from tests.unit.supabase_project.tokens import KEYS_URL, PROJECT, SigningKey

KEY = SigningKey("k1")


@pytest.fixture
def project() -> Iterator[respx.Route]:
    with respx.mock(assert_all_called=False) as router:
        router.route(host="127.0.0.1").pass_through()
        yield router.get(KEYS_URL).respond(200, json={"keys": [KEY.public]})


@pytest.fixture
def shared(settings: Settings, project: respx.Route) -> Iterator[Api]:
    """The app in production, with keys and with users."""
    with running(dataclasses.replace(as_production(settings), supabase_url=PROJECT, users_may_read="marked")) as api:
        yield api


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_users_token_opens_reading_and_nothing_else(shared: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = KEY.token()
    assert shared.http.get("/v1/views", headers=bearer(token)).status_code == 200
    assert shared.http.get("/v1/events", headers={"authorization": f"bearer  {token}"}).status_code == 200
    for method, path in (
        ("POST", "/v1/tickets"),
        ("POST", "/v1/views/tickets_by_status/refresh"),
        ("GET", "/v1/dead-letters"),
        ("POST", "/v1/imports/tickets"),
    ):
        problem = assert_problem(shared.http.request(method, path, headers=bearer(token), json={}), 403)
        assert problem["scope"] in ("write", "admin")
    assert_problem(shared.http.get("/v1/views", headers=bearer(KEY.token(app_metadata={}))), 403)
    assert_problem(shared.http.get("/v1/views", headers=bearer(SigningKey("k1").token())), 401)
    assert token.split(".")[2] not in caplog.text


def test_keys_go_on_as_before(shared: Api, project: respx.Route) -> None:
    assert shared.http.get("/v1/views", headers=bearer(KEYS["reader"])).status_code == 200
    assert_problem(shared.http.get("/v1/views", headers=bearer("wrong")), 401)
    assert_problem(shared.http.get("/v1/views"), 401)
    assert project.call_count == 0


def test_while_the_keys_of_users_cannot_be_had_it_is_a_503(shared: Api, project: respx.Route) -> None:
    project.respond(500)
    answer = shared.http.get("/v1/views", headers=bearer(KEY.token()))
    assert_problem(answer, 503)
    assert answer.headers["retry-after"] == "30"
    assert shared.http.get("/v1/views", headers=bearer(KEYS["reader"])).status_code == 200


def test_without_the_setting_a_token_is_an_unknown_key(settings: Settings, project: respx.Route) -> None:
    with running(dataclasses.replace(as_production(settings), supabase_url=PROJECT)) as api:
        assert_problem(api.http.get("/v1/views", headers=bearer(KEY.token())), 401)
    assert project.call_count == 0
