"""Keep `customers` up to date."""

from penstock.inngest.projection_function import projection_function

project_customers = projection_function("customers")
