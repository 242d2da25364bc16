"""Functions under test use the test's database, and what they send is caught."""

from collections.abc import Sequence

import pytest

from penstock.inngest.publishing import Told
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import Settings


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[OutgoingEvent]:
    """Every event that the relay sent, in order."""
    events: list[OutgoingEvent] = []

    def send(batch: Sequence[OutgoingEvent]) -> None:
        events.extend(batch)

    monkeypatch.setattr("penstock.inngest.client.send", send)
    return events


@pytest.fixture(autouse=True)
def configured(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    told = Told()
    for module in ("penstock.inngest.client", "penstock.inngest.functions.relay_events"):
        monkeypatch.setattr(f"{module}.told", told)
    return settings
