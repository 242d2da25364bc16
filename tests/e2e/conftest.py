"""The suites of the running program look at the sample domain's read models: it is installed."""

from tests.shop.conftest import shop_domain

__all__ = ["shop_domain"]
