"""Take back what an import said of a product."""

from typing import Final

from penstock.ingest.files.compensation import states

COMPENSATION: Final = states("product", "ProductListed", "ProductRemoved", "product_id")
