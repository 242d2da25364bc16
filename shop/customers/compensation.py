"""Take back what an import said of a customer."""

from typing import Final

from penstock.ingest.files.compensation import states

COMPENSATION: Final = states("customer", "CustomerRegistered", "CustomerRemoved", "customer_id")
