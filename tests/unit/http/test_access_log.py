"""Logs do not show who may upload."""

import logging

import pytest

from penstock.http.access_log import without_token
from penstock.http.app import create_app
from tests.unit.http.uvicorn_app import uvicorn

TOKEN = f"{'0' * 32}.1790000000.{'f' * 64}"


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (f"/v1/uploads/{TOKEN}", "/v1/uploads/***"),
        (f"/v1/uploads/{TOKEN}?name=a", "/v1/uploads/***?name=a"),
        (f"/under/v1/uploads/{TOKEN}/", "/under/v1/uploads/***/"),
        ("/v1/imports/orders/uploads", "/v1/imports/orders/uploads"),
        ("/health", "/health"),
    ],
)
def test_a_path_is_shown_without_its_token(path: str, shown: str) -> None:
    assert without_token(path) == shown


def test_uvicorns_access_log_hides_the_token_of_an_upload() -> None:
    with uvicorn("127.0.0.1") as server:
        assert server.call("PUT", f"/v1/uploads/{TOKEN}").status_code == 403
        assert server.call("GET", "/health").status_code == 200
        assert '"PUT /v1/uploads/*** HTTP/1.1" 403' in server.said
        assert '"GET /health HTTP/1.1" 200' in server.said
        assert TOKEN[:20] not in server.said


def test_a_second_app_in_a_process_adds_no_second_filter() -> None:
    create_app()
    create_app()
    assert len(logging.getLogger("uvicorn.access").filters) == 1
