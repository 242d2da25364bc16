from tests.integration.http.conftest import Api

MUGS = {"product_id": "MUG", "name": "Mug", "quantity": 2, "unit_price": "7.50"}


def place(api: Api, order_id: str = "A-1", **fields):
    return api.http.post("/v1/orders", json={"order_id": order_id, "items": [MUGS], **fields})


def test_an_order_goes_all_the_way_and_is_read_back(api: Api) -> None:
    placed = place(api, customer_id="C-7", currency="GBP", country="France")
    assert placed.status_code == 201, placed.text
    assert placed.json() | {"position": 0} == {
        "order_id": "A-1",
        "status": "placed",
        "currency": "GBP",
        "total": "15.00",
        "version": 1,
        "position": 0,
        "duplicate": False,
    }
    for step, status in (("pay", "paid"), ("ship", "shipped"), ("deliver", "delivered"), ("complete", "completed")):
        answer = api.http.post(f"/v1/orders/A-1/{step}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    api.project()
    read = api.http.get("/v1/orders/A-1", params={"wait_for": answer.json()["position"]})
    assert read.status_code == 200, read.text
    order = read.json()
    assert (order["status"], order["total"], order["customer_id"]) == ("completed", "15.00", "C-7")
    assert order["items"] == [{"line": 1, "category": None, "amount": "15.00", "discount": "0", "tax": None, **MUGS}]
    assert order["position"] >= answer.json()["position"]


def test_every_resource_answers(api: Api) -> None:
    place(api)
    api.http.post("/v1/inventory/MUG/adjust", json={"delta": 3})
    api.project()
    for path in (
        "/v1/streams/order/A-1/events",
        "/v1/aggregates/order/A-1",
        "/v1/events",
        "/v1/orders/A-1",
        "/v1/inventory/MUG",
        "/v1/views",
        "/v1/views/monthly_revenue",
        "/v1/runs",
        "/v1/alerts",
        "/v1/imports",
        "/metrics",
        "/health",
        "/ready",
        "/",
        "/dashboard/app.js",
        "/openapi.json",
        "/docs",
        "/v1/customers",
        "/v1/products",
        "/v1/orders",
    ):
        answer = api.http.get(path)
        assert answer.status_code == 200, (path, answer.text)
