"""The exports of shop systems: each file is written from orders that the test knows, in the export's own shape.

What the store must hold is what the file was written from, not what the importer made of it.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from penstock.ingest.files import advance_import, create_import
from penstock.settings import Settings
from tests.shop.imports.exports import (
    AMAZON_ALL_ORDERS,
    AMAZON_ORDERS,
    ETSY_ITEMS,
    OLIST_ITEMS,
    SHOPIFY_ORDERS,
    SQUARE_ITEMS,
    WOOCOMMERCE_ORDERS,
    all_events,
    load,
    skipped,
    warned,
    written,
)
from tests.shop.imports.figures import read_figures

NEW_YORK = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Line:
    product_id: str
    name: str
    quantity: int
    price: str
    category: str | None = None

    @property
    def cost(self) -> Decimal:
        return self.quantity * Decimal(self.price)


@dataclass(frozen=True)
class Order:
    order_id: str
    at: datetime
    customer_id: str | None
    country: str | None
    currency: str
    lines: list[Line] = field(default_factory=list)


LAMP = Line("LAMP-1", 'Lamp, "brass"', 2, "24.90")
MUG = Line("MUG-7", "Mug\nof two lines", 3, "0.10")
GIFT = Line("GIFT", "Sticker", 1, "0.00")


def orders(currency: str, zone: ZoneInfo | None = None) -> list[Order]:
    """Three sales: one of two lines, one with a gift, and one of nobody in no country."""
    times = [datetime(2026, 3, day, 14, 5, 6, tzinfo=zone or UTC) for day in (2, 9, 30)]
    return [
        Order("1001", times[0], "ann@example.com", "DE", currency, [LAMP, MUG]),
        Order("1002", times[1], "bob@example.com", "FR", currency, [MUG, GIFT]),
        Order("1003", times[2], None, None, currency, [LAMP]),
    ]


def stored(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return [
        (
            *(placed[name] for name in ("order_id", "customer_id", "country", "currency")),
            datetime.fromisoformat(placed["placed_at"]),
            Decimal(placed["total"]),
            [
                (
                    item["product_id"], item["name"], item["quantity"], item["category"],
                    Decimal(item.get("amount") or item["quantity"] * Decimal(item["unit_price"])),
                )
                for item in placed["items"]
            ],
        )
        for placed in all_events(connection, "OrderPlaced")
    ]  # fmt: skip


def cost(order: Order) -> Decimal:
    return sum((line.cost for line in order.lines), start=Decimal(0))


def expected(sales: list[Order], by_order: str = "0", by_line: str = "0") -> list[tuple[Any, ...]]:
    """Of orders that cost so much more than their lines: in all, and for each line."""
    return [
        (
            order.order_id, order.customer_id, order.country, order.currency, order.at,
            cost(order) + Decimal(by_order) + len(order.lines) * Decimal(by_line),
            [(line.product_id, line.name, line.quantity, line.category, line.cost) for line in order.lines],
        )
        for order in sales
    ]  # fmt: skip


def shopify(order: Order, **of_order: str) -> list[dict[str, object]]:
    """What is of the whole order is on its first line alone; by default its taxes are on top."""
    subtotal = cost(order) - Decimal("0.10")
    first = {
        "Email": order.customer_id or "", "Financial Status": "paid", "Currency": order.currency,
        "Created at": order.at.strftime("%Y-%m-%d %H:%M:%S %z"), "Shipping Country": order.country or "",
        "Taxes": "1.23", "Shipping": "4.90", "Discount Amount": "0.10", "Subtotal": f"{subtotal}",
        "Total": f"{subtotal + Decimal('6.13')}", **of_order,
    }  # fmt: skip
    return [
        {
            "Name": f"#{order.order_id}", "Lineitem quantity": line.quantity, "Lineitem name": line.name,
            "Lineitem price": line.price, "Lineitem sku": line.product_id, "Lineitem discount": "0.00",
            **(first if place == 0 else {}),
        }
        for place, line in enumerate(order.lines)
    ]  # fmt: skip


def test_shopify_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sales = orders("EUR", ZoneInfo("Europe/Berlin"))
    nameless = Line("Mug, glazed", "Mug, glazed", 1, "7.00")
    unsold = [Order(str(number), sales[0].at, "x@example.com", "AT", "EUR", [LAMP, MUG]) for number in (2, 3, 4)]
    rows = [
        *shopify(sales[0]),
        *shopify(unsold[0], **{"Cancelled at": "2026-03-03 10:00:00 +0100"}),
        *shopify(sales[1], **{"Financial Status": "partially_refunded", "Refunded Amount": "0.10"}),
        *shopify(unsold[1], **{"Financial Status": "refunded", "Refunded Amount": "50.10"}),
        *shopify(unsold[2], **{"Financial Status": "voided"}),
        *shopify(sales[2]),
        {**shopify(Order("9", sales[0].at, None, None, "EUR", [nameless]))[0], "Lineitem sku": ""},
    ]
    done = load(settings, "orders", written(SHOPIFY_ORDERS, rows))
    sales.append(Order("9", sales[0].at, None, None, "EUR", [nameless]))
    assert stored(connection) == [(f"#{order[0]}", *order[1:]) for order in expected(sales, "6.03")]
    assert (done.loaded, done.skipped) == (sum(len(order.lines) for order in sales), 6)
    assert skipped(connection) == [
        *["rows: Cancelled at is '2026-03-03 10:00:00 +0100', not empty"] * 2,
        *["rows: Financial Status is 'refunded'"] * 2,
        *["rows: Financial Status is 'voided'"] * 2,
    ]
    found = warned(done)
    assert not {"Shipping", "Taxes", "Discount Amount", "Lineitem discount", "Duties"} & set(found)
    assert [(refund["refund_id"], refund["amount"]) for refund in all_events(connection, "OrderRefunded")] == [
        (f"#{sales[1].order_id}", "0.100")
    ]
    assert not {"Financial Status", "Cancelled at", "Shipping City", "Discount Code", "Tax 1 Name"} & set(found)


_BESIDE = ("55.230", "1.000", "4.900", "1.230", None)


@pytest.mark.parametrize(
    ("of_order", "lines_discount", "parts"),
    [
        # 50.10 of goods: taxes on top, and in the prices, and an order without a discount
        ({"Subtotal": "50.00", "Total": "56.13"}, "0", ("56.130", "0.100", "4.900", "1.230", None)),
        ({"Subtotal": "50.00", "Total": "54.90"}, "0", ("54.900", "0.100", "4.900", "1.230", True)),
        ({"Subtotal": "50.1", "Total": "56.23", "Discount Amount": "0"}, "0", ("56.230", None, "4.900", "1.230", None)),
        # what the lines were reduced by may be in the order's discount or beside it: the subtotal says which
        ({"Subtotal": "49.00", "Total": "55.13"}, "0.50", ("55.130", "1.100", "4.900", "1.230", None)),
        ({"Subtotal": "49.10", "Total": "55.23", "Discount Amount": "1"}, ".5", _BESIDE),
        # a free shipping is in the total alone; duties are charged like shipping
        ({"Subtotal": "50.00", "Total": "51.23"}, "0", ("51.230", "5.000", "4.900", "1.230", None)),
        ({"Subtotal": "50.00", "Total": "59.13", "Duties": "3.00"}, "0", ("59.130", "0.100", "7.900", "1.230", None)),
    ],
)  # fmt: skip
def test_the_total_of_an_order_is_that_of_shopify(
    settings: Settings, connection: psycopg.Connection, of_order: dict[str, str], lines_discount: str, parts: Any
) -> None:
    rows = [{**row, "Lineitem discount": lines_discount} for row in shopify(orders("EUR")[0], **of_order)]
    load(settings, "orders", written(SHOPIFY_ORDERS, rows))
    (placed,) = all_events(connection, "OrderPlaced")
    assert tuple(placed.get(name) for name in ("total", "discount", "shipping", "tax", "tax_included")) == parts
    of_lines = "0.500" if Decimal(lines_discount) else None
    assert [item.get("discount") for item in placed["items"]] == [of_lines, of_lines]
    read_figures(settings, connection)
    read = connection.execute(
        "select total, discount, shipping, tax, tax_included, gross_sales, items_count from shop.orders"
    ).fetchone()
    money = [Decimal(part or 0) for part in parts[:4]]
    assert read == (*money, bool(parts[4]), Decimal("50.10"), 5)


@pytest.mark.parametrize(
    "of_order",
    [{"Discount Amount": "57"}, {"Discount Amount": "50", "Shipping": "0", "Total": "0.10", "Subtotal": ""}],
)
def test_an_order_that_is_reduced_by_more_than_there_is_to_pay_is_refused(
    settings: Settings, connection: psycopg.Connection, of_order: dict[str, str]
) -> None:
    rows = shopify(orders("EUR")[0], **({"Subtotal": "", "Total": ""} | of_order))
    content = written(SHOPIFY_ORDERS, [*rows, *shopify(orders("EUR")[1])])
    created, _ = create_import(settings, "orders", content)
    done = advance_import(settings, created.id)
    assert (done.loaded, done.rejected, done.pending) == (2, 2, 0)
    reasons = connection.execute("select distinct reason from raw.import_rejects").fetchall()
    assert reasons == [("its discount, or the tax in its prices, is more than there is to pay",)]


def test_an_order_that_shopify_says_otherwise_later_is_amended(
    settings: Settings, connection: psycopg.Connection
) -> None:
    order = orders("EUR")[0]
    load(settings, "orders", written(SHOPIFY_ORDERS, shopify(order)))
    longer = Order(order.order_id, order.at, order.customer_id, order.country, "EUR", [*order.lines, GIFT])
    load(settings, "orders", written(SHOPIFY_ORDERS, shopify(longer)))
    (amended,) = all_events(connection, "OrderAmended")
    assert [item["product_id"] for item in amended["items"]] == [line.product_id for line in longer.lines]


def woocommerce(order: Order, status: str = "completed") -> list[dict[str, object]]:
    return [
        {
            "order_id": f"77{order.order_id}", "order_number": order.order_id, "status": status,
            "date": order.at.strftime("%Y-%m-%d %H:%M:%S"), "order_currency": order.currency, "customer_id": "0",
            "billing_email": order.customer_id or "", "shipping_country": order.country or "", "item_id": place,
            "item_name": line.name, "item_sku": line.product_id, "item_quantity": line.quantity,
            "item_subtotal": line.cost, "item_total": "0.01", "discount_total": "0.10", "tax_total": "1.00",
            "shipping_total": "4.90", "fee_total": "0.50",
        }
        for place, line in enumerate(order.lines)
    ]  # fmt: skip


def test_woocommerce_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sales = orders("USD", NEW_YORK)
    by_number = Line("4711", "Mug", 1, "5.00")
    sales.append(Order("1004", sales[0].at, None, None, "USD", [by_number]))
    rows = [row for order in sales[:3] for row in woocommerce(order)]
    rows += [{**woocommerce(sales[3], "processing")[0], "item_sku": "", "item_product_id": "4711"}]
    no_sale = ["cancelled", "failed", "refunded", "pending"]
    for place, status in enumerate(no_sale):
        rows += woocommerce(Order(f"5{place}", sales[0].at, None, None, "USD", [LAMP]), status)
    done = load(settings, "orders", written(WOOCOMMERCE_ORDERS, rows), zone=NEW_YORK.key)
    assert stored(connection) == expected(sales, "6.30")
    assert skipped(connection) == [f"rows: status is {status!r}" for status in no_sale]
    found = warned(done)
    assert {"refunded_total": "a refund", "item_refunded": "a refund"}.items() <= found.items()
    assert not {"discount_total", "tax_total", "shipping_total", "fee_total"} & set(found)
    assert not {"status", "shipping_city", "shipping_country", "shipping_method"} & set(found)


@pytest.mark.parametrize("has_sku", [True, False])
def test_etsy_order_items(settings: Settings, connection: psycopg.Connection, has_sku: bool) -> None:
    sales = [
        Order(order.order_id, order.at.replace(hour=0, minute=0, second=0), order.customer_id, order.country, "CAD",
              order.lines)
        for order in orders("CAD", NEW_YORK)
    ]  # fmt: skip
    header = (
        ETSY_ITEMS if has_sku else ETSY_ITEMS.removesuffix(",InPerson Discount,InPerson Location,VAT Paid by Buyer,SKU")
    )
    rows = [
        {
            "Sale Date": order.at.strftime("%m/%d/%y"), "Item Name": line.name, "Buyer": order.customer_id or "",
            "Quantity": line.quantity, "Price": line.price, "Item Total": line.cost, "Currency": "CAD",
            "Discount Amount": "0.00" if line is GIFT else "0.05", "Order Shipping": "8.00", "Order Sales Tax": "0.62",
            "Transaction ID": "4001",
            "Ship Country": order.country or "", "Order ID": order.order_id,
            **({"SKU": line.product_id, "Listing ID": "1501"} if has_sku else {"Listing ID": line.product_id}),
        }
        for order in sales for line in order.lines
    ]  # fmt: skip
    done = load(settings, "orders", written(header, rows), zone=NEW_YORK.key)
    discounted = [len([line for line in order.lines if line is not GIFT]) * Decimal("0.05") for order in sales]
    assert [order[:5] for order in stored(connection)] == [order[:5] for order in expected(sales)]
    assert [order[5] for order in stored(connection)] == [
        cost(order) + Decimal("8.62") - discount for order, discount in zip(sales, discounted, strict=True)
    ]
    found = warned(done)
    assert found["Shipping Discount"] == "a discount"
    assert not {"Discount Amount", "Order Shipping", "Order Sales Tax"} & set(found)


def test_square_items(settings: Settings, connection: psycopg.Connection) -> None:
    drinks = [
        Line("Matcha Latte", "Matcha Latte", 2, "8.00", "Drinks"),
        Line("LEM-1", "Lemonade", 1, "1204.50", "Drinks"),
    ]
    sales = [
        Order(
            "4S5oaeKrPyyWWst4", datetime(2026, 7, 18, 12, 59, 30, tzinfo=NEW_YORK), "GTY7JAA901", None, "USD", drinks
        ),
        Order("gSrCa7LyN01iIhId", datetime(2026, 7, 19, 0, 30, tzinfo=NEW_YORK), None, None, "USD", [drinks[0]]),
    ]
    rows = [
        {
            "Date": order.at.date(), "Time": order.at.time(), "Time Zone": "Eastern Time (US & Canada)",
            "Category": line.category, "Item": line.name, "Qty": f"{line.quantity}.0", "Price Point Name": "Regular",
            "SKU": "" if line.product_id == line.name else line.product_id, "Gross Sales": f"${line.cost:,}",
            "Discounts": "-$1.00", "Net Sales": f"${line.cost - 1:,}", "Tax": "$0.62", "Event Type": "Payment",
            "Transaction ID": order.order_id, "Customer ID": order.customer_id or "", "Commission": "$0.00",
        }
        for order in sales for line in order.lines
    ]  # fmt: skip
    refund = {**rows[-1], "Qty": "-2.0", "Gross Sales": "-$16.00", "Event Type": "Refund", "Transaction ID": "R1"}
    done = load(
        settings, "orders", written(SQUARE_ITEMS, [*rows, refund]), zone=NEW_YORK.key, constants={"currency": "USD"}
    )
    assert stored(connection) == expected(sales, by_line="-0.38")
    assert skipped(connection) == ["rows: Event Type is 'Refund'"]
    assert warned(done) == {"Time Zone": "a time zone", "Commission": "a fee", "Fulfillment Note": "a status"}
    placed = all_events(connection, "OrderPlaced")[0]
    assert [(item["discount"], item["tax"]) for item in placed["items"]] == [("1.000", "0.620")] * 2


def test_amazon_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sales = orders("EUR")
    lines = [(order, Line(line.product_id, line.name.replace("\n", " "), line.quantity, line.price))
             for order in sales for line in order.lines]  # fmt: skip
    rows: list[dict[str, object]] = [
        {
            "order-id": order.order_id, "order-item-id": f"05{place}", "purchase-date": order.at.isoformat(),
            "payments-date": order.at.isoformat(), "buyer-email": order.customer_id or "", "sku": line.product_id,
            "product-name": line.name, "quantity-purchased": line.quantity, "currency": "EUR", "item-price": line.cost,
            "item-tax": "0.19", "shipping-price": "3.99", "shipping-tax": "0.31", "item-promotion-discount": "-0.10",
            "ship-country": order.country or "",
        }
        for place, (order, line) in enumerate(lines)
    ]  # fmt: skip
    rows.insert(1, {"order-id": "1001", "item-promotion-discount": "-0.50", "item-promotion-id": "SPRING"})
    rows.append({**rows[0], "order-id": "1009", "quantity-purchased": 0, "item-price": "0.00"})
    done = load(settings, "orders", written(AMAZON_ORDERS, rows, "\t"))
    named = [Order(order.order_id, order.at, order.customer_id, order.country, "EUR",
                   [line for of, line in lines if of is order]) for order in sales]  # fmt: skip
    # a promotion of 0.10 and a tax of 0.19 on each line, and 4.30 for its shipping
    assert stored(connection) == expected(named, by_line="4.39")
    assert skipped(connection) == ["rows: sku is empty", "not more than 0: nothing was bought, not a sale"]
    assert not {"item-tax", "shipping-price", "shipping-tax", "item-promotion-discount"} & set(warned(done))


def test_amazon_all_orders(settings: Settings, connection: psycopg.Connection) -> None:
    sales = [Order(order.order_id, order.at, None, order.country, "GBP", [LAMP, GIFT]) for order in orders("GBP")]
    rows: list[dict[str, object]] = [
        {
            "amazon-order-id": order.order_id, "purchase-date": order.at.isoformat(), "order-status": "Shipped",
            "item-status": "Shipped", "product-name": line.name, "sku": line.product_id, "quantity": line.quantity,
            "currency": "GBP", "item-price": line.cost, "gift-wrap-tax": "0.10", "ship-country": order.country or "",
        }
        for order in sales for line in order.lines
    ]  # fmt: skip
    rows += [
        {**rows[0], "amazon-order-id": "2", "order-status": "Cancelled"},
        {**rows[0], "amazon-order-id": "3", "order-status": "Pending", "currency": "", "item-price": ""},
        {**rows[0], "sku": "OTHER", "item-status": "Cancelled", "quantity": 0},
    ]
    done = load(settings, "orders", written(AMAZON_ALL_ORDERS, rows, "\t"))
    assert stored(connection) == expected(sales)
    assert (done.skipped, skipped(connection)[2]) == (3, "rows: item-status is 'Cancelled'")
    found = warned(done)
    assert (found["gift-wrap-tax"], found["gift-wrap-price"]) == ("a tax", "a fee")


def test_olist_order_items_do_not_say_when_they_were_ordered(
    settings: Settings, connection: psycopg.Connection
) -> None:
    at = datetime(2017, 9, 19, 9, 45, 35, tzinfo=UTC)
    pieces = [("a1", 1, "58.90"), ("a1", 2, "58.90"), ("b2", 1, "239.90")]
    rows: list[dict[str, object]] = [
        {
            "order_id": order, "order_item_id": place, "product_id": "4244733e", "seller_id": "48436dad",
            "shipping_limit_date": at.strftime("%Y-%m-%d %H:%M:%S"), "price": price, "freight_value": "13.29",
        }
        for order, place, price in pieces
    ]  # fmt: skip
    content = written(OLIST_ITEMS, rows)
    created, _ = create_import(settings, "orders", content)
    assert "no column is recognised as ordered_at" in str(advance_import(settings, created.id).error)
    done = load(settings, "orders", content, mapping={"shipping_limit_date": "ordered_at"}, zone="UTC")
    placed = stored(connection)
    assert [(order[0], order[3], order[4], order[5]) for order in placed] == [
        ("a1", "BRL", at, 2 * Decimal("72.19")), ("b2", "BRL", at, Decimal("253.19")),
    ]  # fmt: skip
    assert [[item[2] for item in order[-1]] for order in placed] == [[1, 1], [1]]
    assert warned(done) == {}
