"""The running app, for the tests of the shop's routes."""

from tests.integration.http.conftest import api, guarded

__all__ = ["api", "guarded"]
