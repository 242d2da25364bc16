"""Lists page by page: together they are the whole, in one order, with every filter, whatever comes in between."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.integration.http.conftest import Api
from tests.integration.http.test_bad_input import assert_problem
from tests.shop.projections.store import put

IDS = ["a", "B", "é", "z", "Z", "a/b", "50%s", "9", "straße", "😀"]
COUNTRIES = ("FR", "GB")


@pytest.fixture
def shop(api: Api, connection: Any) -> Api:
    """Forty orders at ten moments; each id of a customer and of a product is one that collations sort differently."""
    for number in range(40):
        customer = IDS[number % 10]
        placed = {
            "placed_at": f"2026-01-{number // 4 + 1:02}T10:30:0{number % 2}Z",
            "customer_id": customer,
            "country": COUNTRIES[number % 10 % 2],
            "currency": "EUR" if number % 5 == 0 else "GBP",
            "total": "7.50",
            "items": [{"product_id": customer, "quantity": 1, "unit_price": "7.50", "category": f"k{number % 10 % 3}"}],
        }
        order = f"order/{IDS[number % 4]}{number}"
        put(connection, order, "OrderPlaced", placed)
        if number % 3:
            put(connection, order, "OrderCompleted" if number % 3 == 1 else "OrderCancelled", {})
    api.project()
    return api


def whole(api: Api, path: str, name: str, limit: int = 1000, **wanted: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        answer = api.http.get(path, params={"limit": limit, **wanted, **after})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert len(page[name]) <= limit
        rows += page[name]
        if page["next"] is None:
            return rows
        after = {"after": page["next"]}


LISTS = {
    "orders": ("/v1/orders", "order_id"),
    "customers": ("/v1/customers", "customer_id"),
    "products": ("/v1/products", "product_id"),
}


def test_pages_together_are_the_whole_list(shop: Api) -> None:
    for name, (path, key) in LISTS.items():
        rows = whole(shop, path, name)
        assert len({row[key] for row in rows}) == len(rows) == {"orders": 40}.get(name, 10)
        for limit in (1, 3, 10):
            assert whole(shop, path, name, limit) == rows


def test_orders_come_latest_first_and_ids_by_their_bytes(shop: Api) -> None:
    orders = [(order["placed_at"], order["order_id"].encode()) for order in whole(shop, "/v1/orders", "orders")]
    assert orders == sorted(orders, reverse=True)
    assert len({placed_at for placed_at, _ in orders}) == 20
    for name in ("customers", "products"):
        ids = [row[LISTS[name][1]] for row in whole(shop, LISTS[name][0], name)]
        assert ids == sorted(IDS, key=str.encode)


FILTERS: tuple[dict[str, str], ...] = (
    {"status": "placed"},
    {"status": "completed"},
    {"currency": "EUR"},
    {"currency": "JPY"},
    {"customer_id": "a/b"},
    {"customer_id": "a/b", "status": "cancelled", "currency": "EUR"},
    {"status": "cancelled", "currency": "EUR"},
    {"placed_from": "2026-01-03T10:30:01Z"},
    {"placed_before": "2026-01-03T10:30:01Z"},
    {"placed_from": "2026-01-03T11:30:00+01:00", "placed_before": "2026-01-07T00:00:00Z", "status": "placed"},
    {"placed_from": "2026-01-07T00:00:00Z", "placed_before": "2026-01-03T00:00:00Z"},
)


@pytest.mark.parametrize("looked_at", [4, 10_000])
def test_filters_of_orders_leave_what_fits_however_few_are_looked_at(
    shop: Api, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    every = whole(shop, "/v1/orders", "orders")
    monkeypatch.setattr("penstock.postgres.listing.LOOKED_AT", looked_at)
    for wanted in FILTERS:
        fitting = [order for order in every if fits(order, **wanted)]
        assert len(fitting) < len(every)
        for limit in (1, 3, 1000):
            assert whole(shop, "/v1/orders", "orders", limit, **wanted) == fitting, wanted


def fits(order: dict[str, Any], placed_from: str = "", placed_before: str = "9", **equal: str) -> bool:
    in_time = placed_from.replace("11:30:00+01:00", "10:30:00Z") <= order["placed_at"] < placed_before
    return in_time and all(order[name] == value for name, value in equal.items())


def test_a_customers_orders_are_those_of_the_filter(shop: Api) -> None:
    for customer in IDS:
        path = f"/v1/customers/{quote(customer, safe='')}/orders"
        mine = whole(shop, path, "orders", 2)
        assert mine == whole(shop, "/v1/orders", "orders", customer_id=customer)
        assert len(mine) == 4
        assert whole(shop, path, "orders", status="placed") == [row for row in mine if row["status"] == "placed"]


def test_customers_by_country_and_beginning_of_the_id(shop: Api) -> None:
    every = whole(shop, "/v1/customers", "customers")
    for country in (*COUNTRIES, "gb"):
        fitting = [row for row in every if row["country"] == country]
        assert whole(shop, "/v1/customers", "customers", 2, country=country) == fitting
    assert [row["customer_id"] for row in whole(shop, "/v1/customers", "customers", 1, prefix="a")] == ["a", "a/b"]
    assert whole(shop, "/v1/customers", "customers", prefix="😀", country="GB") == every[-1:]
    assert whole(shop, "/v1/customers", "customers", prefix="%") == []


def test_products_by_category(shop: Api) -> None:
    every = whole(shop, "/v1/products", "products")
    for category in ("k0", "k1", "k2", "k"):
        fitting = [row for row in every if row["category"] == category]
        assert whole(shop, "/v1/products", "products", 2, category=category) == fitting


def test_a_category_too_long_for_an_index_is_a_row_all_the_same(shop: Api, connection: Any) -> None:
    long = "".join(chr(0x4E00 + n) for n in range(9000))
    put(connection, "product/long", "ProductListed", {"product_id": "long", "name": "Long", "category": long})
    put(connection, "customer/long", "CustomerRegistered", {"customer_id": "long", "country": long})
    shop.project()
    assert shop.http.get("/v1/products/long").json()["category"] == long
    assert shop.http.get("/v1/customers/long").json()["country"] == long
    assert shop.http.get("/v1/alerts").json() == {"alerts": []}


def test_what_comes_in_between_neither_repeats_nor_skips(shop: Api, connection: Any) -> None:
    before = [row["order_id"] for row in whole(shop, "/v1/orders", "orders")]
    first = shop.http.get("/v1/orders", params={"limit": 10}).json()
    late = {"placed_at": "2025-12-31T00:00:00Z", "total": "1"}
    put(connection, "order/new", "OrderPlaced", {**late, "placed_at": "2026-02-01T00:00:00Z"})
    put(connection, "order/old", "OrderPlaced", late)
    put(connection, f"order/{before[9]}", "OrderVoided", {"order_id": before[9]})
    shop.project()
    rest = shop.http.get("/v1/orders", params={"limit": 1000, "after": first["next"]}).json()["orders"]
    assert [row["order_id"] for row in [*first["orders"], *rest]] == [*before, "old"]


def test_one_order_customer_and_product_are_as_listed(shop: Api) -> None:
    (customer,) = shop.http.get("/v1/customers?prefix=stra").json()["customers"]
    one = shop.http.get("/v1/customers/straße").json()
    assert one == {**customer, "position": one["position"]}
    product = next(row for row in whole(shop, "/v1/products", "products") if row["product_id"] == "a/b")
    one = shop.http.get("/v1/products/a/b").json()
    assert one == {**product, "position": one["position"]}
    order = shop.http.get("/v1/orders?limit=1").json()["orders"][0]
    detail = shop.http.get(f"/v1/orders/{order['order_id']}").json()
    assert order.items() <= detail.items()


def test_what_nothing_names_is_a_404_with_the_position(shop: Api) -> None:
    position = shop.http.get("/v1/orders?limit=1").json()["position"]
    for path in ("/v1/customers/nobody", "/v1/customers/nobody/orders", "/v1/products/nothing"):
        assert assert_problem(shop.http.get(path), 404)["position"] == position


def test_a_customer_without_orders_has_an_empty_history(shop: Api, connection: Any) -> None:
    put(connection, "customer/new", "CustomerRegistered", {"customer_id": "new", "name": "New"})
    shop.project()
    answer = shop.http.get("/v1/customers/new/orders")
    assert (answer.status_code, answer.json()["orders"], answer.json()["next"]) == (200, [], None)
    assert shop.http.get("/v1/customers/a/orders?status=shipped").json()["orders"] == []


def test_a_page_waits_for_a_position(shop: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.http.read_your_writes.WAIT_SECONDS", 0.1)
    for path in (*(path for path, _ in LISTS.values()), "/v1/customers/a/orders"):
        position = shop.http.get(path).json()["position"]
        assert shop.http.get(path, params={"wait_for": position}).status_code == 200
        assert_problem(shop.http.get(path, params={"wait_for": position + 1}), 503)


def cursor(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


FOREIGN = (
    "",
    "x",
    "!!!!",
    "é",
    "a" * 2000,
    cursor(),
    cursor("customers", "a"),
    cursor("orders", "2026-01-01"),
    cursor("orders", "2026-01-01", 1),
    cursor("orders", "no time", "a"),
    cursor("orders", "2026-01-01", "a\x00"),
    cursor("orders", "2026-01-01", "\ud800"),
    cursor("orders", "2026-13-01", "a"),
    cursor("orders", "1'; drop table shop.orders --", "a"),
)


@pytest.mark.parametrize(
    "path", ["/v1/orders", "/v1/customers/a/orders", "/v1/orders?status=placed", "/v1/orders?currency=EUR"]
)
def test_a_cursor_that_is_not_from_such_a_page_is_a_422_of_its_field(api: Api, path: str) -> None:
    for after in FOREIGN:
        problem = assert_problem(api.http.get(path, params={"after": after}), 422)
        assert [fault["field"] for fault in problem["errors"]] == ["after"]


WRONG = {
    "/v1/orders?limit=0": "limit",
    "/v1/orders?limit=1001": "limit",
    "/v1/orders?status=lost": "status",
    "/v1/orders?currency=eur": "currency",
    "/v1/orders?placed_from=2026-01-01": "placed_from",
    "/v1/orders?placed_before=now": "placed_before",
    "/v1/orders?customer_id=": "customer_id",
    "/v1/orders?sort=total": "sort",
    "/v1/customers?prefix=%00": "prefix",
    "/v1/products?category=": "category",
}


def test_a_wrong_parameter_is_named(api: Api) -> None:
    for path, field in WRONG.items():
        problem = assert_problem(api.http.get(path), 422)
        assert [fault["field"] for fault in problem["errors"]] == [field], path


def test_an_unchanged_history_is_not_sent_again(shop: Api, connection: Any) -> None:
    path = "/v1/customers/z/orders"
    first = shop.http.get(path)
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    assert first.headers["cache-control"] == "private, no-cache"
    # somebody else's order moves `position` and nothing else
    put(connection, "order/other", "OrderPlaced", {"customer_id": "a", "total": "1"})
    shop.project()
    for given in (tag, tag.removeprefix("W/"), f'"x", {tag}', "*"):
        again = shop.http.get(path, headers={"if-none-match": given})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["cache-control"] == "private, no-cache"
    for given in ('"x"', tag.strip('W/"'), ""):
        assert shop.http.get(path, headers={"if-none-match": given}).json()["orders"] == first.json()["orders"]
    assert shop.http.get(path, params={"limit": 1}).headers["etag"] != tag
    put(connection, f"order/{first.json()['orders'][0]['order_id']}", "OrderCompleted", {})
    put(connection, "order/mine", "OrderPlaced", {"customer_id": "z", "total": "1"})
    shop.project()
    changed = shop.http.get(path, headers={"if-none-match": tag})
    assert changed.status_code == 200
    assert len(changed.json()["orders"]) == 5


def test_other_customers_histories_have_other_tags(shop: Api) -> None:
    tags = [shop.http.get(f"/v1/customers/{each}/orders").headers["etag"] for each in ("a", "B", "z")]
    assert len(set(tags)) == 3
