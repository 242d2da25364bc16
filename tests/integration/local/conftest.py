"""One Inngest stand-in with one served app for all tests of it: they take seconds to start."""

import uuid
from collections.abc import Iterator

import pytest

from tests.integration.local.inngest_conformance import functions, stage
from tests.integration.local.inngest_conformance.stage import Stage


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage.stage(tmp_path_factory.mktemp("inngest"), functions.make) as running:
        yield running


@pytest.fixture
def case() -> str:
    return uuid.uuid4().hex
