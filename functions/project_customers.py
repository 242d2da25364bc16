"""Keep `customers` up to date."""

from functions.advancing import projection_function

project_customers = projection_function("customers")
