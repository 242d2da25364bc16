"""No page of the shop's figures and read models is larger than about 4 MB."""

import psycopg

from tests.integration.http.conftest import Api


def test_a_view_is_cut_at_four_megabytes(api: Api, connection: psycopg.Connection) -> None:
    connection.execute(
        "insert into shop.orders (order_id, status, currency, total, placed_at, version, placed_position, position)"
        " values ('A-1', 'completed', 'GBP', 1, now(), 1, 1, 1)"
    )
    connection.execute(
        "insert into shop.order_items (order_id, line, product_id, name, quantity, unit_price, amount)"
        " select 'A-1', n, 'P-' || n, repeat('x', 1500000), 1, n, n from generate_series(1, 5) as n"
    )
    api.http.post("/v1/views/product_performance/refresh")
    names: list[list[str]] = []
    after: dict[str, str] = {}
    while True:
        page = api.http.get("/v1/views/product_performance", params={"limit": 1000, **after}).json()
        names.append([row["product_id"] for row in page["rows"]])
        if page["next"] is None:
            break
        after = {"after": page["next"]}
    assert names == [["P-5", "P-4"], ["P-3", "P-2"], ["P-1"]]


def test_an_inventory_shows_no_more_changes_than_four_megabytes(api: Api, connection: psycopg.Connection) -> None:
    for _ in range(4):
        connection.execute(
            "select public.append_event('inventory', 'MUG', -1, gen_random_uuid(), 'InventoryAdjusted',"
            " jsonb_build_object('delta', 1, 'reason', repeat('x', 1500000)))"
        )
    api.project()
    answer = api.http.get("/v1/inventory/MUG?changes=1000").json()
    assert answer["on_hand"] == 4
    assert [change["on_hand_after"] for change in answer["history"]] == [4, 3]
