"""Etsy: "Order Items" of Shop Manager, Settings, Options, Download data (`EtsySoldOrderItems2026.csv`).

Header: as public readers of that file have it, the oldest without `SKU`; of the file "Orders", which says what became
of an order, https://github.com/YitongM/Etsy2ParcelMonkeyCSV (Etsy2ParcelMonkeyCSV/Models/EtsyImportModel.cs).
`Price` is that of one piece. This file does not say which orders were cancelled or refunded.
"""

from typing import Final

from penstock.ingest.files.target import Profile

ORDER_ITEMS: Final = Profile(
    "etsy_order_items",
    frozenset(
        {"saledate", "itemname", "buyer", "quantity", "price", "currency", "transactionid", "listingid", "orderid"}
    ),
    fields={
        "order_id": {"column": "Order ID"},
        "product_id": {"first": ["SKU", "Listing ID"]},
        "product_name": {"column": "Item Name"},
        "quantity": {"column": "Quantity"},
        "unit_price": {"column": "Price"},
        "ordered_at": {"column": "Sale Date"},
        "customer_id": {"column": "Buyer"},
        "country": {"column": "Ship Country"},
        "currency": {"column": "Currency"},
        "line_discount": {"column": "Discount Amount"},
        "order_shipping": {"column": "Order Shipping"},
        "order_tax": {"column": "Order Sales Tax"},
    },
    dates={"ordered_at": ["%m/%d/%y", "%m/%d/%Y"]},
)
