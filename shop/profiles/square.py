"""Square: "Items Detail CSV" of Transactions, Export.

Header: https://github.com/zoetankersley/sunrise_social_club (data/raw/items-2026-07-18-2026-07-19.csv). `Gross Sales`
is what the whole line cost before discounts and taxes, by https://squareup.com/help/us/en/article/5530. The file names
no currency, only its sign, and its time zone in words: `--constant currency=…` and `--zone` say them. A refund is a
line of its own with `Event Type` Refund.
"""

from typing import Final

from penstock.ingest.files.target import Profile

ITEMS: Final = Profile(
    "square_items",
    frozenset(
        {
            "date", "time", "timezone", "category", "item", "qty", "pricepointname", "sku", "grosssales", "netsales",
            "transactionid", "eventtype",
        }
    ),
    fields={
        "order_id": {"column": "Transaction ID"},
        "product_id": {"first": ["SKU", "Item"]},
        "product_name": {"column": "Item"},
        "category": {"column": "Category"},
        "quantity": {"column": "Qty"},
        "amount": {"column": "Gross Sales"},
        "line_discount": {"column": "Discounts"},
        "line_tax": {"column": "Tax"},
        "ordered_at": {"columns": ["Date", "Time"], "join": " "},
        "customer_id": {"column": "Customer ID"},
    },
    rows=[{"column": "Event Type", "not_in": ["Refund"]}],
)  # fmt: skip
