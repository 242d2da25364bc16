"""Keep `inventory_current` and `inventory_history` up to date."""

from functions.advancing import projection_function

project_inventory = projection_function("inventory")
