"""Keep `inventory_current` and `inventory_history` up to date."""

from penstock.inngest.projection_function import projection_function

project_inventory = projection_function("inventory")
