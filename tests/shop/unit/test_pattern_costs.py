"""What holds for the package's regular expressions holds for those of the sample domain and its deployment."""

import pytest

from tests.pattern_costs import Use, find_uses
from tests.unit.test_pattern_costs import attack

USES = [use for package in ("shop", "functions", "app") for use in find_uses(package)]


def test_the_patterns_of_the_shop_are_found() -> None:
    assert {use.place.partition(":")[0] for use in USES} >= {"shop/inventory/inventory.py", "shop/orders/order.py"}


@pytest.mark.parametrize("use", USES, ids=lambda use: use.place)
def test_no_pattern_costs_more_than_linear_time(use: Use) -> None:
    assert use.pattern is not None, use.place
    attack(use.pattern, use.method)
