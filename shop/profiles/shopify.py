"""Shopify: orders, products and customers as the admin exports them.

Headers: of orders https://github.com/jadwro/allegro_csv_parser (src/Shopify/types/ShopifyOrderTypeCSV.ts), with
examples in https://docs.xbp.app/docs/development/integrations/shopify/order-format; of products
https://help.shopify.com/en/manual/products/import-export/using-csv; of customers as public readers of
`customers_export.csv` have it, such as https://github.com/tramyardg/magento2ShopifyCSV (src/customers/header.js) for
the form before 2023, which has no `Customer ID` and is not recognised.

`Subtotal` is the goods after discounts, and `Total` that with shipping, duties, and taxes where those are not in the
prices: https://help.shopify.com/en/manual/fulfillment/managing-orders/exporting-orders. So the two say what the order
was reduced by, and whether its taxes are included.

An order's first line has what is of the whole order; its further lines leave that empty. Orders name their customer by
e-mail alone, so customers are known by it, too. The customers' export does not say since when they are customers:
`registered_at` is the caller's to say.
"""

from typing import Any, Final

from penstock.ingest.files.target import Profile


def _of_order(column: str) -> dict[str, Any]:
    return {"column": column, "blank": "above", "within": "Name"}


def _of_product(column: str) -> dict[str, Any]:
    return {"column": column, "blank": "above", "within": "Handle"}


ORDERS: Final = Profile(
    "shopify_orders",
    frozenset(
        {
            "name", "email", "financialstatus", "currency", "createdat", "lineitemquantity", "lineitemname",
            "lineitemprice", "lineitemsku", "cancelledat",
        }
    ),
    fields={
        "order_id": {"column": "Name"},
        "product_id": {"first": ["Lineitem sku", "Lineitem name"]},
        "product_name": {"column": "Lineitem name"},
        "quantity": {"column": "Lineitem quantity"},
        "unit_price": {"column": "Lineitem price"},
        "ordered_at": _of_order("Created at"),
        "customer_id": _of_order("Email"),
        "country": _of_order("Shipping Country"),
        "currency": _of_order("Currency"),
        "order_discount": _of_order("Discount Amount"),
        "order_shipping": _of_order("Shipping"),
        "order_fees": _of_order("Duties"),
        "order_tax": _of_order("Taxes"),
        "order_subtotal": _of_order("Subtotal"),
        "order_total": _of_order("Total"),
        "line_discount": {"column": "Lineitem discount"},
    },
    rows=[
        {**_of_order("Cancelled at"), "empty": True},
        {**_of_order("Financial Status"), "not_in": ["refunded", "voided", "expired"]},
    ],
    dates={"ordered_at": ["%Y-%m-%d %H:%M:%S %z", "iso"]},
)  # fmt: skip

# A variant without a SKU cannot be met by any order's line; a line without a price is one more picture.
PRODUCTS: Final = Profile(
    "shopify_products",
    frozenset({"handle", "title", "vendor", "type", "variantsku", "variantprice"}),
    fields={
        "product_id": {"column": "Variant SKU"},
        "name": _of_product("Title"),
        "category": _of_product("Type"),
        "unit_price": {"column": "Variant Price"},
    },
    rows=[{"column": "Variant Price", "empty": False}, {"column": "Variant SKU", "empty": False}],
)

CUSTOMERS: Final = Profile(
    "shopify_customers",
    frozenset({"customerid", "firstname", "lastname", "email", "defaultaddresscountrycode"}),
    fields={
        "customer_id": {"column": "Email"},
        "name": {"columns": ["First Name", "Last Name"], "join": " "},
        "email": {"column": "Email"},
        "country": {"column": "Default Address Country Code"},
    },
    rows=[{"column": "Email", "empty": False}],
)
