"""The shop's functions under test use the test's database, and what they send is caught."""

from collections.abc import Iterator

import pytest

from functions import FUNCTIONS
from penstock.inngest import client
from tests.integration.inngest.conftest import configured, sent

__all__ = ["configured", "sent"]


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    """In place: others hold the same list."""
    before = list(client.registered)
    client.register(FUNCTIONS)
    yield
    client.register(before)
