"""WooCommerce: orders of the extension Customer/Order/Coupon Export, one row per item; products of WooCommerce itself.

Headers: https://docs.woocommerce.com/document/ordercustomer-csv-export-developer-documentation/ (the names of the
columns "are guaranteed to never change") and https://woocommerce.com/document/product-csv-importer-exporter/.

A guest has the customer number 0, so customers are known by the e-mail address of the bill. Amounts are without taxes,
and `tax_total` is all of an order's, that of its shipping and fees too. `item_subtotal` is what the
whole line cost before discounts. Statuses without a sale are those that WooCommerce's own analytics leave out, and
`refunded`. Times are those of the site: the option `zone` says which.
"""

from typing import Final

from penstock.ingest.files.target import Profile

ORDERS: Final = Profile(
    "woocommerce_orders",
    frozenset(
        {
            "orderid", "ordernumber", "status", "ordercurrency", "billingemail", "itemproductid", "itemname", "itemsku",
            "itemquantity", "itemsubtotal",
        }
    ),
    fields={
        "order_id": {"column": "order_number"},
        "product_id": {"first": ["item_sku", "item_product_id"]},
        "product_name": {"column": "item_name"},
        "quantity": {"column": "item_quantity"},
        "amount": {"column": "item_subtotal"},
        "ordered_at": {"first": ["date", "order_date"]},
        "customer_id": {"column": "billing_email"},
        "country": {"first": ["shipping_country", "billing_country"]},
        "currency": {"column": "order_currency"},
        "order_discount": {"column": "discount_total"},
        "order_shipping": {"column": "shipping_total"},
        "order_fees": {"column": "fee_total"},
        "order_tax": {"column": "tax_total"},
        "status": {"column": "status", "values": {"completed": "completed"}, "else": None},
    },
    rows=[{"column": "status", "not_in": ["cancelled", "failed", "refunded", "pending", "checkout-draft", "trash"]}],
)  # fmt: skip

# A variable or grouped product is the frame of those that are sold; its variations have rows of their own.
PRODUCTS: Final = Profile(
    "woocommerce_products",
    frozenset({"id", "type", "sku", "name", "published", "visibilityincatalog", "regularprice", "categories"}),
    fields={
        "product_id": {"first": ["SKU", "ID"]},
        "name": {"column": "Name"},
        "category": {"column": "Categories"},
        "unit_price": {"column": "Regular price"},
    },
    rows=[{"column": "Type", "not_in": ["variable", "grouped"]}],
)
