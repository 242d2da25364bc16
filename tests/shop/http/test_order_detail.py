"""An order in detail: its refunds are shown with it, as of one position."""

import pytest

from penstock.projections import advance
from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_problem
from tests.shop.http.test_command_routes import place


def test_an_order_shows_what_was_given_back(api: Api) -> None:
    place(api, currency="GBP", shipping="2.50")
    api.http.post("/v1/orders/A-1/pay")
    api.project()
    assert api.http.get("/v1/orders/A-1").json()["refunds"] == []
    items = [{"product_id": "MUG", "quantity": 1, "amount": "7.50"}]
    api.http.post(
        "/v1/orders/A-1/refund", json={"refund_id": "r2", "amount": "1", "refunded_at": "2026-03-02T00:00:00Z"}
    )
    first = {"refund_id": "r1", "items": items, "shipping": "2.50", "refunded_at": "2026-03-01T00:00:00Z"}
    answer = api.http.post("/v1/orders/A-1/refund", json=first)
    assert answer.status_code == 200, answer.text
    api.project()
    refunds = api.http.get("/v1/orders/A-1", params={"wait_for": answer.json()["position"]}).json()["refunds"]
    assert [(refund["refund_id"], refund["amount"], refund["shipping"]) for refund in refunds] == [
        ("r1", "10.00", "2.50"),
        ("r2", "1", "0"),
    ]
    assert refunds[0]["items"] == [{"line": 1, **items[0], "restocked": False}]
    assert refunds[1]["items"] == []


def test_its_position_is_that_of_the_slower_read_model(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.http.read_your_writes.WAIT_SECONDS", 0.1)
    placed = place(api, currency="GBP").json()["position"]
    advance(api.settings, "orders")
    # nothing was given back, so nothing is waited for
    assert api.http.get("/v1/orders/A-1", params={"wait_for": placed}).json()["position"] == placed
    assert api.http.get("/v1/orders/A-1").json()["position"] < placed
    api.http.post("/v1/orders/A-1/pay")
    refunded = api.http.post("/v1/orders/A-1/refund", json={"refund_id": "r1"}).json()["position"]
    advance(api.settings, "orders")
    problem = assert_problem(api.http.get("/v1/orders/A-1", params={"wait_for": refunded}), 503)
    assert problem["projection"] == "refunds"
    advance(api.settings, "refunds")
    order = api.http.get("/v1/orders/A-1", params={"wait_for": refunded}).json()
    assert (order["position"] >= refunded, len(order["refunds"])) == (True, 1)
