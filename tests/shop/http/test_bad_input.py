"""Whatever is sent to the shop's routes: a problem that names the field, never a 500, never a partial write."""

import json
from collections.abc import Iterator

import pytest

from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import JSON, assert_names, assert_problem, written

LINE = {"product_id": "MUG", "quantity": 1, "unit_price": "1.00"}
ORDER = {"items": [LINE]}


def order(**fields) -> dict:
    return {**ORDER, **fields}


def line(**fields) -> dict:
    return order(items=[{**LINE, **fields}])


BODIES: list[tuple[str, object, str]] = [
    ("/v1/orders", {}, "items"),
    ("/v1/orders", order(items=[]), "items"),
    ("/v1/orders", order(items=[LINE] * 1001), "items"),
    ("/v1/orders", order(total="1"), "total"),
    ("/v1/orders", order(order_id=""), "order_id"),
    ("/v1/orders", order(order_id="x" * 201), "order_id"),
    ("/v1/orders", order(customer_id=7), "customer_id"),
    ("/v1/orders", order(currency="euro"), "currency"),
    ("/v1/orders", order(currency="EUR\n"), "currency"),
    ("/v1/orders", order(country="x" * 1001), "country"),
    ("/v1/orders", order(placed_at="2026-11-21"), "placed_at"),
    ("/v1/orders", order(placed_at="2026-11-21T09:30:00"), "placed_at"),
    ("/v1/orders", order(placed_at=1700000000), "placed_at"),
    ("/v1/orders", order(placed_at="9999-12-31T23:59:59-14:00"), "placed_at"),
    ("/v1/orders", line(quantity=0), "items[0].quantity"),
    ("/v1/orders", line(quantity=2**31), "items[0].quantity"),
    ("/v1/orders", line(quantity=1.5), "items[0].quantity"),
    ("/v1/orders", line(unit_price="-1"), "items[0].unit_price"),
    ("/v1/orders", line(unit_price="1e3"), "items[0].unit_price"),
    ("/v1/orders", line(unit_price="0.1234567"), "items[0].unit_price"),
    ("/v1/orders", line(unit_price="NaN"), "items[0].unit_price"),
    ("/v1/orders", line(unit_price=1e20), "items[0].unit_price"),
    ("/v1/orders", line(unit_price=True), "items[0].unit_price"),
    ("/v1/orders", line(unit_price="999999999999", quantity=2**31 - 1), "items"),
    ("/v1/orders", line(product_id=""), "items[0].product_id"),
    ("/v1/orders", line(category="x" * 201), "items[0].category"),
    ("/v1/orders/A-1/pay", {"amount": "x"}, "amount"),
    ("/v1/orders/A-1/pay", {"amount": "0.99"}, "amount"),
    ("/v1/orders/A-1/pay", {"cash": True}, "cash"),
    ("/v1/orders/A-1/ship", {"carrier": 5}, "carrier"),
    ("/v1/orders/A-1/deliver", {"when": "now"}, "when"),
    ("/v1/orders/A-1/complete", {"x": None}, "x"),
    ("/v1/orders/A-1/cancel", {"reason": ["a"]}, "reason"),
    ("/v1/orders/A-1/cancel", [], "body"),
    ("/v1/inventory/MUG/adjust", {}, "delta"),
    ("/v1/inventory/MUG/adjust", {"delta": 0}, "delta"),
    ("/v1/inventory/MUG/adjust", {"delta": 2**31}, "delta"),
    ("/v1/inventory/MUG/adjust", {"delta": -(2**31)}, "delta"),
    ("/v1/inventory/MUG/adjust", {"delta": "5"}, "delta"),
    ("/v1/inventory/MUG/adjust", {"delta": 1, "reason": "x" * 201}, "reason"),
]
PATHS: list[tuple[str, str, str | None]] = [
    ("GET", "/v1/orders/A-1?wait_for=-1", "wait_for"),
    ("GET", "/v1/orders/A-1?wait_for=soon", "wait_for"),
    ("GET", f"/v1/orders/{'x' * 201}", "order_id"),
    ("GET", "/v1/orders/", "order_id"),
    ("GET", "/v1/inventory/MUG?changes=1001", "changes"),
    ("GET", "/v1/inventory/%00", "product_id"),
]
MISSING = [
    ("GET", "/v1/orders/A-9"),
    ("GET", "/v1/inventory/TEA"),
    ("POST", "/v1/orders/A-9/pay"),
]


@pytest.fixture
def settled(api: Api) -> Iterator[Api]:
    """An app with an order; whatever a test sends must leave the store as it is."""
    api.http.post("/v1/orders", json={"order_id": "A-1", **ORDER})
    before = written(api.settings)
    yield api
    assert written(api.settings) == before, "a refused request has written something"


def test_bodies(settled: Api) -> None:
    for path, body, field in BODIES:
        problem = assert_problem(settled.http.post(path, content=json.dumps(body), headers=JSON), 422)
        assert_names(problem, field)


def test_paths_and_parameters(settled: Api) -> None:
    for method, path, field in PATHS:
        answer = settled.http.request(method, path, json={} if method == "POST" else None)
        assert_names(assert_problem(answer, 422), field)


def test_what_is_not_there(settled: Api) -> None:
    for method, path in MISSING:
        problem = assert_problem(settled.http.request(method, path), 404)
        assert problem["type"] == "urn:penstock:problem:not-found"
