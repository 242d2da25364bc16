"""Files of a shop that belong together: in Olist's headers, with rows of our own; histories of an order's status."""

import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from penstock.ingest.files import Import, advance_import, create_import, store_joined, undo_import
from penstock.settings import Settings
from tests.shop.imports.figures import load, read_figures

HEADERS = {
    "orders": "order_id,customer_id,order_status,order_purchase_timestamp,order_approved_at,"
    "order_delivered_carrier_date,order_delivered_customer_date,order_estimated_delivery_date",
    "items": "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value",
    "customers": "customer_id,customer_unique_id,customer_zip_code_prefix,customer_city,customer_state",
    "payments": "order_id,payment_sequential,payment_type,payment_installments,payment_value",
}
UNWANTED = ("canceled", "unavailable")
STATUSES = ("delivered", "delivered", "delivered", "shipped", *UNWANTED)
Rows = Mapping[str, list[list[str]]]


def olist(seed: int, number: int) -> Rows:
    """So many orders. As in the original, a customer has another `customer_id` with every order, some orders have no
    items, and some are paid in several ways."""
    rng = random.Random(seed)
    rows: dict[str, list[list[str]]] = defaultdict(list)
    for n in range(number):
        order, customer, bought = f"o{n:05x}", f"c{n:05x}", datetime(2017, 11, 1) + timedelta(minutes=97 * n)  # noqa: DTZ001
        rows["orders"].append([order, customer, rng.choice(STATUSES), str(bought), str(bought), "", "", str(bought)])
        person = rng.randrange(number // 2)
        rows["customers"].append([customer, f"u{person:04x}", "01409", f"são paulo {person}", rng.choice("SR") + "P"])
        for place in range(1, rng.choice((0, 1, 1, 2, 3)) + 1):
            price = f"{rng.randrange(1, 90_000) / 100:.2f}"
            rows["items"].append([order, str(place), f"p{rng.randrange(40)}", "s1", str(bought), price, "8.72"])
        for place in range(1, rng.choice((1, 1, 2)) + 1):
            rows["payments"].append([order, str(place), rng.choice(("boleto", "credit_card")), "1", "1.00"])
    for each in rows.values():
        rng.shuffle(each)
    return rows


def content(rows: Rows, name: str) -> bytes:
    quoted = (",".join(f'"{cell}"' for cell in row) for row in rows[name])
    return "\n".join([HEADERS[name], *quoted]).encode()


def load_olist(settings: Settings, rows: Rows) -> Import:
    said = {
        "join": [
            {"file": "orders.csv", "on": {"order_id": "order_id"}},
            {"file": "customers.csv", "on": {"orders.customer_id": "customer_id"}},
            {"file": "payments.csv", "on": {"order_id": "order_id"}, "repeated": "first", "required": False},
        ],
        "fields": {
            "ordered_at": "orders.order_purchase_timestamp",
            "customer_id": "customers.customer_unique_id",
            "country": "customers.customer_state",
        },
        "rows": [{"column": "orders.order_status", "not_in": list(UNWANTED)}],
        "zone": "America/Sao_Paulo",
    }
    sent = {f"{name}.csv": content(rows, name) for name in ("orders", "customers", "payments")}
    made, _ = create_import(settings, "orders", content(rows, "items"), options=store_joined(settings, said, sent))
    return advance_import(settings, made.id)


def expected(rows: Rows) -> tuple[dict[str, tuple[str, str, Decimal]], dict[str, Decimal]]:
    """Of each sold order customer, state and total; and the revenue by the day of the shop's zone."""
    orders = {row[0]: row for row in rows["orders"]}
    customers = {row[0]: row for row in rows["customers"]}
    sold: dict[str, tuple[str, str, Decimal]] = {}
    days: dict[str, Decimal] = defaultdict(Decimal)
    for item in rows["items"]:
        order = orders[item[0]]
        if order[2] in UNWANTED:
            continue
        customer = customers[order[1]]
        before = sold[item[0]][2] if item[0] in sold else Decimal(0)
        cost = Decimal(item[5]) + Decimal(item[6])  # the price and the freight
        sold[item[0]] = customer[1], customer[4], before + cost
        moment = datetime.fromisoformat(order[3]) + timedelta(hours=2)  # São Paulo in the summer of 2017, in UTC
        days[moment.date().isoformat()] += cost
    return sold, days


def test_olists_files_in_one_import_give_the_revenue_of_what_was_sold(
    settings: Settings, connection: psycopg.Connection
) -> None:
    rows = olist(1, 400)
    sold, days = expected(rows)
    done = load_olist(settings, rows)
    lines = [row for row in rows["items"] if row[0] in sold]
    assert (done.state, done.error, done.rows_read) == ("completed", None, len(rows["items"]))
    assert (done.loaded, done.skipped) == (len(lines), len(rows["items"]) - len(lines))
    figures = read_figures(settings, connection)
    assert {row[0]: (row[1], row[4], row[5]) for row in figures["orders"]} == sold
    assert {row[3] for row in figures["orders"]} == {"BRL"}
    assert {str(row[0]): row[2] for row in figures["days"]} == days
    used = len({row[0] for row in rows["items"]})
    assert [(each["file"], each["used"], each["unused"]) for each in done.result["joined"]] == [
        ("orders.csv", used, 400 - used),
        ("customers.csv", used, 400 - used),
        ("payments.csv", used, 400 - used),
    ]
    assert done.result["joined"][2]["repeated"] == len(rows["payments"]) - 400


def test_orders_that_a_file_lacks_are_rejected_and_come_with_the_whole_file(
    settings: Settings, connection: psycopg.Connection
) -> None:
    rows = olist(2, 60)
    sold, _ = expected(rows)
    half = {**rows, "orders": rows["orders"][:30]}
    known = {row[0] for row in half["orders"]}
    done = load_olist(settings, half)
    missing = [row for row in rows["items"] if row[0] not in known]
    assert (done.state, done.rejected) == ("completed_with_rejects", len(missing))
    assert {row[0] for row in read_figures(settings, connection)["orders"]} == known & sold.keys()
    again = load_olist(settings, rows)
    assert (again.state, again.rejected, again.duplicate) == ("completed", 0, done.loaded)
    assert {row[0]: row[5] for row in read_figures(settings, connection)["orders"]} == {
        order: total for order, (_, _, total) in sold.items()
    }
    undo_import(settings, done.id)
    undo_import(settings, again.id)
    assert read_figures(settings, connection)["orders"] == []


def events_of(connection: psycopg.Connection, order: str) -> list[tuple[Any, ...]]:
    return connection.execute(
        """select event_type, (metadata ->> 'occurred_at')::timestamptz::date::text from public.event_store
           where aggregate_type = 'order' and aggregate_id = %s order by version""",
        (order,),
    ).fetchall()


STEPS = {"status": {"paid": "PaymentReceived", "sent": "OrderShipped", "cancelled": "OrderCancelled"}}
STREAM = {"aggregate_type": {"constant": "order"}, "aggregate_id": "order", "payload": {"constant": "{}"}}


def test_a_history_with_a_row_for_each_step_becomes_its_events(
    settings: Settings, connection: psycopg.Connection
) -> None:
    text = "order,status,at\nA,paid,2026-01-01\nB,paid,2026-01-02\nA,sent,2026-01-03\nB,cancelled,2026-01-04\n"
    fields = {**STREAM, "event_type": {"column": "status", "values": STEPS["status"]}, "occurred_at": "at"}
    done = load(settings, text.encode(), "events", fields=fields)
    assert (done.state, done.loaded) == ("completed", 4)
    assert events_of(connection, "A") == [("PaymentReceived", "2026-01-01"), ("OrderShipped", "2026-01-03")]
    assert events_of(connection, "B") == [("PaymentReceived", "2026-01-02"), ("OrderCancelled", "2026-01-04")]


def test_a_history_with_a_column_for_each_step_is_imported_once_for_each(
    settings: Settings, connection: psycopg.Connection
) -> None:
    text = "order,paid_at,shipped_at\nA,2026-01-01,2026-01-03\nB,2026-01-02,\n"
    for column, event_type in (("paid_at", "PaymentReceived"), ("shipped_at", "OrderShipped")):
        fields = {**STREAM, "event_type": {"constant": event_type}, "occurred_at": column}
        said = {"fields": fields, "rows": [{"column": column, "empty": False}], "remember": False}
        done = load(settings, text.encode(), "events", **said)
        assert done.state == "completed"
        assert load(settings, text.encode(), "events", **said).id == done.id
    assert events_of(connection, "A") == [("PaymentReceived", "2026-01-01"), ("OrderShipped", "2026-01-03")]
    assert events_of(connection, "B") == [("PaymentReceived", "2026-01-02")]
