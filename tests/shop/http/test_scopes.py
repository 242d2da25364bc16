"""Which keys open the shop's routes."""

import pytest

from tests.integration.http.conftest import KEYS, Api
from tests.integration.http.test_security import bearer


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/v1/orders", {"writer", "operator"}),
        ("POST", "/v1/orders/A-9/pay", {"writer", "operator"}),
        ("POST", "/v1/inventory/MUG/adjust", {"writer", "operator"}),
        ("GET", "/v1/orders/A-9", {"reader", "operator"}),
        ("GET", "/v1/inventory/MUG", {"reader", "operator"}),
        ("GET", "/v1/orders", {"reader", "operator"}),
        ("GET", "/v1/customers", {"reader", "operator"}),
        ("GET", "/v1/customers/C-7", {"reader", "operator"}),
        ("GET", "/v1/customers/C-7/orders", {"reader", "operator"}),
        ("GET", "/v1/products", {"reader", "operator"}),
        ("GET", "/v1/products/MUG", {"reader", "operator"}),
        ("POST", "/v1/views/monthly_revenue/refresh", {"operator"}),
    ],
)
def test_a_key_opens_what_its_scopes_say(guarded: Api, method: str, path: str, allowed: set[str]) -> None:
    assert guarded.http.request(method, path).status_code == 401
    statuses = {name: guarded.http.request(method, path, headers=bearer(name)).status_code for name in KEYS}
    assert {name for name, status in statuses.items() if status != 403} == allowed, statuses
    assert 401 not in statuses.values()
