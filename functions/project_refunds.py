"""Keep `refunds` up to date."""

from penstock.inngest.projection_function import projection_function

project_refunds = projection_function("refunds")
