"""Keep `products` up to date."""

from functions.advancing import projection_function

project_products = projection_function("products")
