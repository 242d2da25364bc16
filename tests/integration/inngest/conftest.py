"""Functions under test use the test's database, and what they send is caught."""

from collections.abc import Iterator, Sequence

import pytest

from penstock.inngest import client
from penstock.inngest.relay import relay
from penstock.relay.outbox import OutgoingEvent
from penstock.relay.recently_published import RecentlyPublished
from penstock.settings import Settings
from tests.tickets import FUNCTIONS


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[OutgoingEvent]:
    """Every event that the relay sent, in order."""
    events: list[OutgoingEvent] = []

    def send(batch: Sequence[OutgoingEvent]) -> None:
        events.extend(batch)

    monkeypatch.setattr(relay, "send", send)
    return events


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    """In place: others hold the same list."""
    before = list(client.registered)
    client.register(FUNCTIONS)
    yield
    client.register(before)


@pytest.fixture(autouse=True)
def configured(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    monkeypatch.setattr(relay, "published", RecentlyPublished())
    return settings
