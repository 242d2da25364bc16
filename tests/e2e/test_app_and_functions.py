"""The real app and its functions beside the stand-in: a file, a delivery and a command on their way to figures."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import throwaway
from tests.e2e.inngest_stack import Stack, running, wait_for

KEY = b"a key of the shop"
CSV = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,85123A,HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
    "536365,71053,LANTERN,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom\n"
    "A536379,B,Adjust bad debt,1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom\n"
)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    env = {"WEBHOOK_SECRETS": f"shop=whsec_{base64.b64encode(KEY).decode()}"}
    folder = tmp_path_factory.mktemp("app")
    with (
        throwaway.cloned_database(throwaway.EVERYTHING) as url,
        running(folder, url, app="app.main:app", env=env) as stack,
    ):
        yield stack


def view(stack: Stack, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = httpx.get(f"{stack.app_url}/v1/views/{name}").raise_for_status().json()["rows"]
    return rows


def test_a_file_becomes_figures(stack: Stack) -> None:
    answer = httpx.post(
        f"{stack.app_url}/v1/imports/orders", content=CSV.encode(), headers={"content-type": "text/csv"}
    ).raise_for_status()
    assert answer.status_code == 202
    status_url = f"{stack.app_url}/v1/imports/{answer.json()['import_id']}"
    imported = wait_for(lambda: (found := httpx.get(status_url).json())["state"] == "completed" and found, 30, "import")
    assert (imported["read"], imported["loaded"], imported["skipped"]) == (3, 2, 1)
    stack.wait_for_value("select total::text from shop.orders where order_id = '536365'", "35.640")
    stack.send("views/refresh.requested", {})
    rows = wait_for(lambda: view(stack, "monthly_revenue"), 20, "the view")
    assert (rows[0]["month"], rows[0]["revenue"], rows[0]["order_count"]) == ("2010-12-01", "35.640", 1)
    runs = httpx.get(f"{stack.app_url}/v1/runs").raise_for_status().text
    assert "import_file" in runs


def test_a_delivery_becomes_one_event_however_often_it_comes(stack: Stack) -> None:
    delivery, thing = uuid4().hex, uuid4().hex
    body = json.dumps({"type": "thing.made", "timestamp": "2010-12-01T08:26:00Z", "data": {"id": thing}})
    now = str(int(time.time()))
    signature = hmac.new(KEY, f"{delivery}.{now}.{body}".encode(), hashlib.sha256).digest()
    headers = {
        "webhook-id": delivery,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }
    for _ in range(3):
        httpx.post(f"{stack.app_url}/v1/webhooks/shop", content=body, headers=headers).raise_for_status()
    count = f"select count(*) from public.event_store where aggregate_id = '{thing}'"
    stack.wait_for_value(count, 1)
    stack.wait_for_value(
        "select count(*) from ops.subscriptions"
        " where position = penstock.high_water_mark() and subscription = 'inngest'",
        1,
    )
    assert stack.value(count) == 1


def test_a_command_is_read_back_after_its_position(stack: Stack) -> None:
    order = {
        "order_id": uuid4().hex,
        "currency": "GBP",
        "items": [{"product_id": "p1", "quantity": 1, "unit_price": "2.50"}],
    }
    answer = httpx.post(f"{stack.app_url}/v1/orders", json=order)
    assert answer.status_code == 201, answer.text
    read = httpx.get(
        f"{stack.app_url}/v1/orders/{order['order_id']}", params={"wait_for": answer.json()["position"]}, timeout=30
    )
    assert (read.status_code, read.json()["total"]) == (200, "2.50"), read.text
