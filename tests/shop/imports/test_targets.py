"""The targets beside orders: what their lines become, and what they are when they come again."""

import json
from typing import Any

import psycopg

from penstock.ingest.files import Import, advance_import, create_import, rejects_csv
from penstock.projections import advance_all
from penstock.settings import Settings
from tests.shop.projections.store import put


def load(settings: Settings, target: str, text: str | bytes, **options: Any) -> Import:
    content = text if isinstance(text, bytes) else text.encode()
    created, _ = create_import(settings, target, content, options=options)
    done = advance_import(settings, created.id)
    assert (done.state, done.error) == (done.loaded_state, None)
    assert done.rows_read == done.loaded + done.skipped + done.rejected + done.held + done.duplicate
    return done


def account(done: Import) -> tuple[int, int, int]:
    return done.loaded, done.rejected, done.duplicate


def payloads(connection: psycopg.Connection, event_type: str) -> list[Any]:
    rows = connection.execute(
        "select payload from public.event_store where event_type = %s order by position", (event_type,)
    ).fetchall()
    return [payload for (payload,) in rows]


def test_a_product_that_changes_back_is_listed_three_times(settings: Settings, connection: psycopg.Connection) -> None:
    header = "sku,name,category,price\n"
    assert account(load(settings, "products", header + "A,Lamp,Light,2.5\nA,Lamp,Light,2.5\n")) == (1, 0, 1)
    assert account(load(settings, "products", header + "A,Lamp,Home,2.5\nB,,,\n")) == (2, 0, 0)
    assert account(load(settings, "products", header + "A,Lamp,Light,2.5\n\n")) == (1, 0, 0)
    listed = payloads(connection, "ProductListed")
    assert [(item["product_id"], item["category"]) for item in listed] == [
        ("A", "Light"),
        ("A", "Home"),
        ("B", None),
        ("A", "Light"),
    ]
    assert listed[0] == {"product_id": "A", "name": "Lamp", "category": "Light", "unit_price": "2.5"}


def test_an_order_takes_its_category_from_the_catalogue(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, "products", "product_id,name,category\nP1,Lamp,Light\n")
    text = "order_id,product_id,quantity,ordered_at,unit_price\n1,P1,2,2026-01-01,3.10\n1,P2,1,2026-01-01,1\n"
    assert account(load(settings, "orders", text)) == (2, 0, 0)
    items = payloads(connection, "OrderPlaced")[0]["items"]
    assert [(item["name"], item["category"]) for item in items] == [("Lamp", "Light"), (None, None)]
    load(settings, "products", "product_id,name,category\nP1,Lamp,Home\n")
    assert account(load(settings, "orders", text + "\n")) == (0, 0, 2), "the catalogue's change makes it no other order"


def test_a_listing_that_comes_late_is_history(settings: Settings, connection: psycopg.Connection) -> None:
    """The years of a catalogue in any order are the same states, and what was latest stays the latest."""
    header = "product_id,name,category,listed_at\n"
    new, old = "P,Lamp,Home,2026-03-01\n", "P,Lamp,Light,2026-01-01\n"
    assert account(load(settings, "products", header + new)) == (1, 0, 0)
    assert account(load(settings, "products", header + old)) == (1, 0, 0)
    load(settings, "orders", "order_id,product_id,quantity,ordered_at,unit_price\n1,P,2,2026-01-02,3.10\n")
    assert payloads(connection, "OrderPlaced")[0]["items"][0]["category"] == "Home"
    advance_all(settings)
    assert connection.execute("select category from shop.products").fetchall() == [("Home",)]
    between = "P,Lamp,Light,2026-02-01\n"
    assert account(load(settings, "products", header + between + old + new)) == (0, 0, 3), "nothing that was not known"
    assert account(load(settings, "products", header + "P,Lamp,Light,2026-03-02\n")) == (1, 0, 0)
    assert account(load(settings, "products", header + "P,Lamp,Home,2026-03-01\nP,Lamp,Bulb,2026-03-01\n")) == (1, 0, 1)
    both = header + "P,Lamp,Bulb,2026-03-01\nP,Lamp,Home,2026-03-01\n\n"
    assert account(load(settings, "products", both)) == (0, 0, 2), "two states of one moment are known, in any order"


def test_a_time_that_cannot_be_read_ends_no_import(settings: Settings, connection: psycopg.Connection) -> None:
    listed = {"name": "Lamp", "category": "Light"}
    for moment in ("2010-02-30", "now", "soon", None):
        put(connection, "product/P", "ProductListed", listed, occurred_at=moment)
    assert account(load(settings, "products", "product_id,name,category\nP,Lamp,Home\n")) == (1, 0, 0)
    load(settings, "orders", "order_id,product_id,quantity,ordered_at,unit_price\n1,P,2,2026-01-02,3.10\n")
    assert payloads(connection, "OrderPlaced")[0]["items"][0]["category"] == "Home"


def test_the_amount_of_a_line_counts_exactly(settings: Settings, connection: psycopg.Connection) -> None:
    text = "basket_id,product_id,quantity,sales_value,date\nb,P1,3,1.00,2026-01-01\n"
    load(settings, "orders", text)
    placed = payloads(connection, "OrderPlaced")[0]
    assert placed["total"] == "1.000"
    assert placed["items"][0]["unit_price"] == "0.333333"
    assert placed["items"][0]["amount"] == "1.00"
    assert placed["currency"] == "GBP", "as the settings say"


def test_customers_register_once(settings: Settings, connection: psycopg.Connection) -> None:
    text = "id,name,email,created_at\n17850.0,Ann,ann@example.org,2026-01-01T10:00:00+02:00\nx,Bob,bob,2026-01-01\n"
    assert account(load(settings, "customers", text)) == (1, 1, 0)
    assert account(load(settings, "customers", text + "\n")) == (0, 1, 1)
    assert payloads(connection, "CustomerRegistered") == [
        {
            "customer_id": "17850",
            "name": "Ann",
            "email": "ann@example.org",
            "country": None,
            "registered_at": "2026-01-01T08:00:00Z",
        }
    ]


def test_stock_movements_are_told_apart_by_their_id(settings: Settings, connection: psycopg.Connection) -> None:
    text = "product_id,delta,reason,reference\nP,5,delivery,r1\nP,5,delivery,r2\nP,5,delivery,r1\nP,-1,,r3\n"
    assert account(load(settings, "inventory", text)) == (3, 0, 1)
    assert account(load(settings, "inventory", text + "P,5,lost,r1\n")) == (0, 1, 4)
    assert [item["delta"] for item in payloads(connection, "InventoryAdjusted")] == [5, 5, -1]
    assert account(load(settings, "inventory", "product_id,delta\nQ,1\nQ,1\n")) == (2, 0, 0)


def test_a_count_that_differs_in_its_framing_counts_once(settings: Settings, connection: psycopg.Connection) -> None:
    text = "product_id,delta,reason\nP,5,count\nQ,7,count\nP,5,count\n"
    assert account(load(settings, "inventory", text)) == (3, 0, 0)
    framed = [
        text + "\n\n",
        text.replace("\n", "\r\n"),
        text.replace("\nQ", "\n\nQ"),
        text.replace("Q,7", '"Q",+7').removesuffix("\n"),
        "reason,product_id,delta\ncount,Q,7\ncount,P,5\ncount,P,5\n",
    ]
    for again in framed:
        assert account(load(settings, "inventory", again)) == (0, 0, 3), again
    assert account(load(settings, "inventory", text.replace("Q,7", "Q,8"))) == (3, 0, 0), "another count"
    longer = text + "P,5,count\n"
    assert account(load(settings, "inventory", longer)) == (4, 0, 0), "and another"


def test_movements_with_a_time_are_known_in_any_file(settings: Settings, connection: psycopg.Connection) -> None:
    header = "product_id,delta,reason,adjusted_at\n"
    first = "P,5,sale,2026-01-01T10:00:00Z\nP,x,sale,2026-01-01T10:00:00Z\nP,5,sale,2026-01-01T10:00:00Z\n"
    assert account(load(settings, "inventory", header + first)) == (2, 1, 0)
    assert account(load(settings, "inventory", header + first.replace("x", "5"))) == (1, 0, 2), "the mended line alone"
    later = "P,5,sale,2026-01-01T10:00:01Z\n"
    assert account(load(settings, "inventory", header + later + first.replace("x", "6"))) == (2, 0, 2)
    assert [item["delta"] for item in payloads(connection, "InventoryAdjusted")] == [5, 5, 5, 5, 6]


def test_events_from_json_lines_keep_order_and_ids(settings: Settings, connection: psycopg.Connection) -> None:
    lines = [
        {
            "aggregate_type": "order",
            "aggregate_id": "1",
            "event_type": "OrderPlaced",
            "payload": {"n": 1.5},
            "id": "0190a1b2-0000-7000-8000-000000000001",
            "metadata": {"actor": "me", "occurred_at": "2026-01-01T00:00:00Z"},
        },
        {
            "stream_type": "order",
            "stream_id": 1,
            "type": "OrderShipped",
            "data": {},
            "schema_version": 2,
            "timestamp": "2026-01-01T00:00:00Z",
            "event_id": "evt-2",
        },
        {"aggregate_type": "order", "aggregate_id": "1", "event_type": "OrderPaid", "payload": [1], "dt": "2026-01-01"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nnot json\n" + json.dumps(lines[1]) + "\n"
    done = load(settings, "events", text)
    assert account(done) == (2, 2, 1)
    rows = connection.execute(
        """select event_type, version, id::text, payload, metadata -> 'claimed', schema_version
           from public.event_store order by position"""
    ).fetchall()
    assert rows[0] == ("OrderPlaced", 1, "0190a1b2-0000-7000-8000-000000000001", {"n": 1.5}, {"actor": "me"}, 1)
    assert rows[1][:2] == ("OrderShipped", 2)
    assert rows[1][5] == 2
    rejects = "".join(rejects_csv(settings, done.id))
    assert ',"payload","not a JSON object",' in rejects
    assert "not JSON" in rejects


def test_a_json_array_is_read_item_by_item(settings: Settings, connection: psycopg.Connection) -> None:
    items = [{"product_id": f"P{n}", "name": 'a "[{name}]" \\', "price": n + 0.25} for n in range(300)]
    items.insert(7, {"name": "without an id"})
    text = json.dumps(items, indent=1)
    assert account(load(settings, "products", text)) == (300, 1, 0)
    assert payloads(connection, "ProductListed")[1]["unit_price"] == "1.25"
    assert account(load(settings, "products", json.dumps(items), mapping={"name": "name"})) == (0, 1, 300)


def test_the_real_retail_events_come_in_under_their_own_vocabulary(
    settings: Settings, connection: psycopg.Connection
) -> None:
    lines = [
        {
            "event_id": f"or-{n}",
            "event_type": "order.created",
            "aggregate_id": str(n),
            "occurred_at": "2010-12-01T08:26:00Z",
            "data": {"order_id": str(n), "total": "139.120"},
        }
        for n in range(50)
    ]
    text = "\n".join(map(json.dumps, lines))
    done = load(settings, "events", text, constants={"aggregate_type": "order"})
    assert account(done) == (50, 0, 0)
    assert account(load(settings, "events", text + "\n", constants={"aggregate_type": "order"})) == (0, 0, 50)


def test_orders_as_json_need_a_price_or_an_amount(settings: Settings, connection: psycopg.Connection) -> None:
    line = {"order_id": 1, "product_id": "P", "quantity": 2, "ordered_at": "2026-01-01"}
    lines = [{**line, "unit_price": 1.1}, {**line, "amount": "4.50"}, {**line, "order_id": 2}]
    done = load(settings, "orders", "\n".join(map(json.dumps, lines)))
    assert account(done) == (2, 1, 0)
    assert payloads(connection, "OrderPlaced")[0]["total"] == "6.700"
    assert ',"amount or unit_price","missing",' in "".join(rejects_csv(settings, done.id))
