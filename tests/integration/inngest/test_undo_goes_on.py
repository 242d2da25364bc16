"""An undo that was cut off is taken up by the function that works on imports."""

import json
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import respx

from penstock.ingest import files
from penstock.settings import Settings
from tests.integration.inngest.test_calls import CSV, run


def test_an_undo_that_was_cut_off_is_brought_to_its_end(
    connection: psycopg.Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(settings, storage_folder=tmp_path)
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    imported, _ = files.create_import(settings, "tickets", CSV, name="a.csv")
    files.advance_import(settings, imported.id)
    assert files.undo_import(settings, imported.id, seconds=0).state == "undoing"
    with respx.mock:
        route = respx.post("http://127.0.0.1:8288/e/NO_EVENT_KEY_SET").respond(200, json={"ids": ["1"]})
        outcome = run("import-file", {"name": "import/file.requested", "data": {"import_id": str(imported.id)}})
    assert (outcome.status, outcome.body["state"]) == (200, "undone")
    assert json.loads(route.calls.last.request.content)[0]["name"] == "import/file.loaded", "figures follow"
    assert files.continue_undo(settings, imported.id).state == "undone", "and once more changes nothing"
    withdrawn = "select count(*) from public.event_store where event_type = 'TicketWithdrawn'"
    assert connection.execute(withdrawn).fetchone() == (2,)
