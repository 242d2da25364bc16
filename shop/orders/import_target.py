"""Order lines. Lines with one `order_id` are one order, wherever in the file they are.

The order's time is that of its earliest line, its total the exact sum over its lines. A line may give `unit_price`,
or `amount` for the whole line; either may be 0, for a gift or a coupon. A category or name that the file does not give
is taken from the catalogue: from the listing of the latest time that is there when the file is loaded.
Discounts, shipping and taxes are those of lines, added up, or of the whole order, the same in all of its lines: a file
says which by the field that its column is. A discount or tax of the order has that of its lines in it.
An order that is stored and that a file says otherwise is amended, as `shop.amend_order` has it.
An order is completed unless the file says another status; its further events are those of `shop.order_steps`. Where a
profile or the option `also` takes lines of less than 0 pieces, those of one `order_id` are a credit note of that id,
beside the order.
"""

from typing import get_args

from penstock.ingest.files.parse.types import Boolean, Choice, Code, Identifier, Integer, Number, Text, Timestamp
from penstock.ingest.files.target import Amendment, EventMapping, Field, Profile, Target
from penstock.settings import CURRENCY
from shop.events import MAX_NAME
from shop.orders.import_select import SELECT
from shop.orders.order import AMENDED, VOIDED, Status
from shop.profiles import amazon, etsy, olist, shopify, square, woocommerce
from shop.refunds.projection import VOIDED as CREDIT_NOTE_VOIDED

_QUANTITY = Integer(1, 1_000_000_000, negative="with the option also=credit_notes such lines are credit notes")
_WITH_CREDIT_NOTES = Integer(-1_000_000_000, 1_000_000_000, zero=False)
_ONLINE_RETAIL = Profile(
    "online_retail",
    frozenset({"invoiceno", "stockcode", "description", "quantity", "invoicedate", "unitprice", "customerid"}),
    field_types={
        "order_id": Identifier(unwanted=("A", "an adjustment (A…), not a sale")),
        "quantity": Integer(-1_000_000_000, 1_000_000_000, zero=False, unwanted="0 pieces: not a sale"),
        "unit_price": Number(positive=True, unwanted="not more than 0: nothing was paid, not a sale"),
    },
    constants={"currency": "GBP"},
)
# Baskets of the tills of a chain in the United States, with the total of each line: coupons and voids are in them as
# lines of nothing.
_COMPLETE_JOURNEY = Profile(
    "complete_journey",
    frozenset({"householdid", "basketid", "productid", "quantity", "salesvalue", "transactiontimestamp"}),
    field_types={"quantity": Integer(0, 1_000_000_000)},
    constants={"currency": "USD"},
)

# A discount of 3 is 3 or -3, as the file writes it.
_DISCOUNT = Number(signed=True)

TARGET = Target(
    name="orders",
    fields=(
        Field("order_id", Identifier(), True, ("InvoiceNo", "Invoice", "order", "order number", "basket_id")),
        Field("product_id", Identifier(), True, ("StockCode", "sku", "product", "item_id")),
        Field("product_name", Text(MAX_NAME), False, ("Description", "name", "product description", "title")),
        Field("category", Text(at_most=200), False, ("product_category", "department")),
        Field("quantity", _QUANTITY, True, ("qty", "units", "amount ordered")),
        Field(
            "ordered_at",
            Timestamp(of_event=True),
            True,
            ("InvoiceDate", "order date", "placed_at", "created_at", "date", "transaction_timestamp", "timestamp"),
        ),
        Field("unit_price", Number(), False, ("UnitPrice", "price", "item price")),
        Field("amount", Number(), False, ("line total", "sales_value", "line amount")),
        Field("customer_id", Identifier(), False, ("CustomerID", "customer", "client_id", "household_id")),
        Field("country", Text(at_most=100), False, ("ship country", "customer country")),
        Field("currency", Code(3), True, ("currency code",)),
        Field("status", Choice((*get_args(Status), "refunded")), False, ("order status",)),
        Field("cancelled_at", Timestamp(of_event=True), False, ("canceled_at", "cancellation date")),
        Field("refunded_amount", Number(), False, ("amount refunded", "refund amount")),
        Field("refunded_at", Timestamp(of_event=True), False, ("refund date",)),
        Field("line_discount", _DISCOUNT),
        Field("line_tax", Number()),
        Field("line_shipping", Number()),
        Field("line_shipping_tax", Number()),
        Field("line_shipping_discount", _DISCOUNT),
        Field("order_discount", _DISCOUNT),
        Field("order_tax", Number()),
        Field("order_shipping", Number()),
        Field("order_fees", Number()),
        Field("order_subtotal", Number()),
        Field("order_total", Number()),
        Field("tax_included", Boolean()),
    ),
    into=EventMapping(
        SELECT,
        repeat="stream",
        by="order_id",
        amendment=Amendment(AMENDED, "shop.amend_order"),
        removed=(VOIDED, CREDIT_NOTE_VOIDED),
        holds="order",
    ),
    one_of=(("amount", "unit_price"),),
    variants={"credit_notes": {"quantity": _WITH_CREDIT_NOTES}},
    settings_defaults={"currency": CURRENCY},
    profiles=(
        _ONLINE_RETAIL,
        _COMPLETE_JOURNEY,
        shopify.ORDERS,
        woocommerce.ORDERS,
        etsy.ORDER_ITEMS,
        square.ITEMS,
        amazon.ORDERS,
        amazon.ALL_ORDERS,
        olist.ORDER_ITEMS,
    ),
)
