"""Olist's public dataset: the items of its orders, each piece a line.

Header: https://www.kaggle.com/datasets/olistbr/brazilian-ecommerce, `olist_order_items_dataset.csv` (also in
https://github.com/Cleitondev01/Projeto-Olist, Dicionario-de-Dados/order_items_dataset.md). When an order was placed,
by whom and what became of it is in `olist_orders_dataset.csv`. `shipping_limit_date` is not that time, so this profile
does not take it for `ordered_at`: who imports the file alone says where the time is from.
"""

from typing import Final

from penstock.ingest.files.target import Profile

ORDER_ITEMS: Final = Profile(
    "olist_order_items",
    frozenset({"orderid", "orderitemid", "productid", "sellerid", "shippinglimitdate", "price", "freightvalue"}),
    constants={"quantity": "1", "currency": "BRL"},
    fields={"unit_price": {"column": "price"}, "line_shipping": {"column": "freight_value"}},
)
