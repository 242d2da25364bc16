"""Keep `orders`, `order_items` and `revenue_by_hour` up to date."""

from penstock.inngest.projection_function import projection_function

project_orders = projection_function("orders")
