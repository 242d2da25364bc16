"""A shop that has not said what its money is in: what comes without a currency is refused, with how to say it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from functions import FUNCTIONS
from penstock.ingest import webhooks
from penstock.ingest.files import advance_import
from penstock.pipelines.dead_letters import list_dead_letters
from penstock.postgres import pool
from penstock.settings import Settings
from shop import DOMAIN
from tests.integration.http.conftest import Api, as_local, running
from tests.integration.http.test_bad_input import assert_names, assert_problem
from tests.integration.ingest.webhooks.test_inbox import deliver
from tests.unit.ingest.webhooks.test_standard_webhooks import NEW

ORDER = {"order_id": "A-1", "items": [{"product_id": "MUG", "quantity": 2, "unit_price": "7.50"}]}
FILE = "order_id,product_id,quantity,ordered_at,unit_price\nA,MUG,2,2026-01-01,7.50\n"
IN_EUROS = {"constants": '{"currency": "EUR"}'}


@pytest.fixture
def silent(settings: Settings, tmp_path: Path) -> Iterator[Api]:
    with running(as_local(replace(settings, currency=None), tmp_path), DOMAIN, FUNCTIONS) as api:
        yield api


def test_an_order_names_its_currency_or_is_refused(silent: Api) -> None:
    refused = silent.http.post("/v1/orders", json=ORDER)
    problem = assert_problem(refused, 422)
    assert_names(problem, "currency")
    assert "PENSTOCK_CURRENCY" in problem["detail"]
    assert silent.http.get("/v1/streams/order/A-1/events").status_code == 404
    assert silent.http.post("/v1/orders", json={**ORDER, "currency": "EUR"}).json()["currency"] == "EUR"


def test_a_file_names_it_or_is_refused_before_it_is_read(silent: Api) -> None:
    looked = silent.http.post("/v1/imports/orders", params={"dry_run": "true"}, content=FILE)
    problem = assert_problem(looked, 422)
    created = silent.http.post("/v1/imports/orders", content=FILE).json()
    advance_import(silent.settings, created["import_id"])
    failed = silent.http.get(created["status_url"]).json()
    assert (failed["state"], failed["read"]) == ("failed", 0)
    for said in ("currency", "--constant currency=EUR", 'constants={"currency": "EUR"}', "PENSTOCK_CURRENCY"):
        assert said in failed["error"]
        assert said in problem["detail"]
    answer = silent.http.post("/v1/imports/orders", params={"dry_run": "true", **IN_EUROS}, content=FILE).json()
    assert (answer["loaded"], answer["rows"][0]["currency"]) == (1, "EUR")


def test_a_preview_asks_for_it_and_takes_the_answer(silent: Api) -> None:
    found = silent.http.post("/v1/imports/preview", content=FILE).json()
    (question,) = found["questions"]
    assert (found["target"], question["code"], question["field"]) == ("orders", "missing-field", "currency")
    answer = {"constants": json.dumps(question["choices"][0]["set"]["constants"])}
    answered = silent.http.post("/v1/imports/preview", params=answer, content=FILE).json()
    assert (answered["questions"], answered["accepted"]) == ([], 1)


def test_a_delivery_names_it_or_is_parked_with_the_reason(silent: Api) -> None:
    placed = {**ORDER, "placed_at": "2026-01-01T09:00:00Z"}
    shop = replace(silent.settings, webhook_secrets={"shop": (NEW,)})
    deliver(shop, {"type": "OrderPlaced", "data": placed}, id="silent")
    deliver(shop, {"type": "OrderPlaced", "data": {**placed, "order_id": "A-2", "currency": "EUR"}}, id="said")
    assert webhooks.append_deliveries(shop) == 2
    with pool.connection(shop) as connection:
        [letter] = list_dead_letters(connection, kind="delivery")
    assert letter.reference == "silent"
    assert "PENSTOCK_CURRENCY" in str(letter.reason)
    assert silent.http.get("/v1/streams/order/A-2/events").status_code == 200
