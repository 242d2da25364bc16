"""Amazon: the order report (orders that the seller ships) and the report of all orders, both separated by tabs.

Headers: https://sellercentral-europe.amazon.com/gp/help/external/help.html?itemID=201648780 and
https://developer-docs.amazon.com/sp-api/lang-es_ES/docs/order-tracking-reports-attributes. "All amounts are aggregates
of the quantity, not unit prices." A row without a SKU goes on with promotions of the row above; a line of
quantity 0 sold nothing, and a pending order has no price yet.
"""

from typing import Final

from penstock.ingest.files.parse.types import Integer
from penstock.ingest.files.target import Profile

_PIECES: Final = Integer(1, 1_000_000_000, unwanted="not more than 0: nothing was bought, not a sale")

_PARTS: Final = {
    "line_discount": {"column": "item-promotion-discount"},
    "line_tax": {"column": "item-tax"},
    "line_shipping": {"column": "shipping-price"},
    "line_shipping_tax": {"column": "shipping-tax"},
}

ORDERS: Final = Profile(
    "amazon_orders",
    frozenset(
        {
            "orderid", "orderitemid", "purchasedate", "paymentsdate", "sku", "quantitypurchased", "currency",
            "itemprice",
        }
    ),
    field_types={"quantity": _PIECES},
    fields={
        "order_id": {"column": "order-id"},
        "product_id": {"column": "sku"},
        "product_name": {"first": ["product-name", "item-name"]},
        "quantity": {"column": "quantity-purchased"},
        "amount": {"column": "item-price"},
        "ordered_at": {"column": "purchase-date"},
        "customer_id": {"column": "buyer-email"},
        "country": {"column": "ship-country"},
        "currency": {"column": "currency"},
        **_PARTS,
    },
    rows=[{"column": "sku", "empty": False}],
)  # fmt: skip

ALL_ORDERS: Final = Profile(
    "amazon_all_orders",
    frozenset(
        {
            "amazonorderid", "purchasedate", "orderstatus", "productname", "sku", "itemstatus", "quantity", "currency",
            "itemprice",
        }
    ),
    field_types={"quantity": _PIECES},
    fields={
        "order_id": {"column": "amazon-order-id"},
        "product_id": {"column": "sku"},
        "product_name": {"column": "product-name"},
        "quantity": {"column": "quantity"},
        "amount": {"column": "item-price"},
        **_PARTS,
        "line_shipping_discount": {"column": "ship-promotion-discount"},
        "ordered_at": {"column": "purchase-date"},
        "country": {"column": "ship-country"},
        "currency": {"column": "currency"},
        "status": {"column": "order-status", "values": {"Shipped": "completed"}, "else": None},
    },
    rows=[
        {"column": "order-status", "not_in": ["Cancelled", "Pending"]},
        {"column": "item-status", "not_in": ["Cancelled"]},
    ],
)  # fmt: skip
