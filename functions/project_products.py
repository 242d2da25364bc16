"""Keep `products` up to date."""

from penstock.inngest.projection_function import projection_function

project_products = projection_function("products")
