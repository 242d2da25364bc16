"""While lines become events, the account moves with every step: part of the file, events stored."""

from pathlib import Path

import pytest

from penstock.cli.progress import news
from penstock.ingest.files import Import, advance_import, create_import, import_status, run
from penstock.settings import Settings

LINES = [f"{n % 300},P{n},1,2026-01-01,1.5" for n in range(900)]
ORDERS = "\n".join(["ticket_id,part,quantity,opened_at,price", *LINES])


@pytest.fixture
def local(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 20)
    monkeypatch.setattr(run, "ROWS_A_BUCKET", 300)
    return Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path / "uploads")


def looks(settings: Settings) -> list[Import]:
    """The import after each of its steps."""
    created, _ = create_import(settings, "tickets", ORDERS.encode())
    seen = [created]
    while not seen[-1].is_final:
        advance_import(settings, created.id, seconds=0)
        seen.append(import_status(settings, created.id))
    return seen


def test_events_are_counted_while_they_are_stored(local: Settings) -> None:
    seen = looks(local)
    moving = [each.storing for each in seen if each.storing]
    assert all(each.storing is None for each in seen if each.state not in {"forming", "appending"})
    places = [(storing["part"], storing["events"]) for storing in moving]
    assert places == sorted(places), "nothing goes back"
    assert len(set(places)) > 10, "600 events of 300 facts in steps of 20 facts"
    assert {storing["parts"] for storing in moving[1:]} == {3}
    assert seen[-1].result["events"] == 600


def test_the_account_shows_them_to_api_and_command_line(local: Settings) -> None:
    seen = looks(local)
    half = next(each for each in seen if each.storing and each.storing["part"] == 2 and each.storing["events"])
    storing = half.storing
    assert storing is not None
    assert half.as_json()["storing"] == storing
    assert seen[-1].as_json()["storing"] is None
    assert news(half).endswith(f", part 2 of 3, {storing['events']} events stored")
    assert "stored" not in news(seen[-1])
