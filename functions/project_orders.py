"""Keep `orders`, `order_items` and `revenue_by_hour` up to date."""

from functions.advancing import projection_function

project_orders = projection_function("orders")
