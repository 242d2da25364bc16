"""The commands of `penstock` on a real database."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from penstock.cli import main
from penstock.inngest.relay import relay
from penstock.pipelines.dead_letters import park
from penstock.postgres import migrations
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import Settings
from tests import throwaway


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(project / "uploads"))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def answer(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> object:
    exit_code = main([*arguments, "--json"])
    shown = capsys.readouterr()
    assert exit_code == code, shown.err
    return json.loads(shown.out)


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    return shown.strip()


def test_append_stores_once(capsys: pytest.CaptureFixture[str]) -> None:
    event_id = "01890000-0000-7000-8000-000000000001"
    call = ["append", "ticket", "T-1", "TicketOpened", "--payload", '{"subject": "Late"}', "--id", event_id]
    first = answer(capsys, *call, "--expected", "no_stream")
    again = answer(capsys, *call, "--expected", "no_stream")
    assert isinstance(first, dict)
    assert first == {"id": event_id, "version": 1, "position": first["position"], "duplicate": False}
    assert again == {**first, "duplicate": True}


def test_append_tells_of_a_conflict_and_of_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["append", "ticket", "T-1", "TicketOpened"]) == 0
    capsys.readouterr()
    assert "version" in refusal(capsys, "append", "ticket", "T-1", "TicketOpened", "--expected", "no_stream")
    assert refusal(capsys, "append", "ticket", "T-1", "X", "--payload", "[1]") == "penstock: payload: not a JSON object"
    assert "line 1" in refusal(capsys, "append", "ticket", "T-1", "X", "--payload", "{")
    assert refusal(capsys, "append", "ticket", "T-1", "X", "--id", "7") == "penstock: id: not a UUID"


def test_a_file_that_cannot_be_read_is_exit_code_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "nothing.csv").write_text("no,known,column\n1,2,3\n")
    assert main(["import", "nothing.csv", "--target", "tickets"]) == 1
    assert "failed" in capsys.readouterr().out
    assert "no such file" in refusal(capsys, "import", "missing.csv", "--target", "tickets")
    assert "nothing" in refusal(capsys, "import", "nothing.csv", "--target", "nothing")


def test_rebuild_reports_and_an_unknown_name_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    rebuilt = answer(capsys, "rebuild", "tickets")
    assert isinstance(rebuilt, dict)
    assert (rebuilt["projection"], rebuilt["parked"]) == ("tickets", 0)
    assert "sales" in refusal(capsys, "rebuild", "sales")
    assert "sales" in refusal(capsys, "refresh", "sales")


def test_a_poison_event_is_listed_retried_and_stays_open_while_it_cannot_be_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["append", "ticket", "T-1", "TicketOpened", "--payload", '{"lines": "many"}']) == 0
    assert main(["rebuild", "tickets"]) == 0
    capsys.readouterr()
    letters = answer(capsys, "retry")
    assert isinstance(letters, list)
    assert [(letter["kind"], letter["source"]) for letter in letters] == [("event", "tickets")]
    assert main(["retry", letters[0]["id"]]) == 1
    assert "still cannot read the event" in capsys.readouterr().out
    assert "not the id of a dead letter" in refusal(capsys, "retry", "7")


def test_a_dead_letter_is_dropped_once(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    letter = str(park(connection, "run", "etl", "r1", "no", {}))
    assert answer(capsys, "retry", "--drop", letter) == [{"id": letter, "ok": True, "outcome": "dropped"}]
    assert answer(capsys, "retry") == []
    assert main(["retry", "--drop", letter]) == 1
    assert "was dropped already" in capsys.readouterr().out
    assert main(["retry", letter]) == 1


def test_migrate_applies_what_is_missing_and_then_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with throwaway.fresh_database() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        assert main(["migrate"]) == 0
        assert "applied 20261121000100_penstock_event_store\n" in capsys.readouterr().out
        assert main(["migrate"]) == 0
        assert capsys.readouterr().out == "nothing to apply\n"


@pytest.mark.parametrize("command", [["imports"], ["append", "ticket", "T-1", "TicketOpened"], ["tail"], ["reset"]])
def test_a_database_without_migrations_is_one_sentence(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with throwaway.fresh_database() as url:
        monkeypatch.setenv("DATABASE_URL", url)
        expected = (
            f"penstock: the database lacks {len(migrations.manifest())} migrations,"
            " 20261121000000_penstock_roles_and_schemas first: `penstock migrate` applies them"
        )
        assert refusal(capsys, *command) == expected


def test_migrate_outside_a_project_leaves_a_strangers_migrations_alone(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").unlink()
    (project / "supabase" / "migrations").unlink()
    (project / "supabase" / "migrations").mkdir()
    (project / "supabase" / "migrations" / "20990101000000_draft.sql").write_text("create table public.draft ();\n")
    assert main(["migrate"]) == 0
    assert capsys.readouterr().out == "nothing to apply\n"


def test_doctor_says_what_is_wrong_by_line_and_by_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PENSTOCK_ENV", "local")
    assert main(["doctor"]) == 0
    assert "FAIL" not in capsys.readouterr().out
    monkeypatch.setenv("INNGEST_DEV", "http://127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_ENV", "production")
    assert main(["doctor"]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert [line.split()[1] for line in lines] == ["environment", "inngest"]


def test_relay_goes_back_to_a_position_and_not_beyond_what_was_told(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[OutgoingEvent] = []
    monkeypatch.setattr("penstock.cli.inngest._relay", lambda settings: relay)
    monkeypatch.setattr("penstock.inngest.client.get_settings", lambda: settings)
    monkeypatch.setattr(relay, "send", sent.extend)
    monkeypatch.setattr(relay, "listened_types", lambda: {"TicketOpened"})
    for number in range(4):
        main(["append", "ticket", f"T-{number}", "TicketOpened"])
    assert [event.data["position"] for event in sent if "position" in event.data] == [1, 2, 3, 4]
    del sent[:]
    capsys.readouterr()
    assert main(["relay", "--from", "3"]) == 0
    assert [event.data["position"] for event in sent if "position" in event.data] == [3, 4]
    assert capsys.readouterr().out == "2 events published, 2 sent to listeners, up to position 4\n"
    assert main(["relay", "--from", "0"]) == 0
    assert [event.data["position"] for event in sent if "position" in event.data] == [3, 4, 1, 2, 3, 4]
    assert main(["relay", "--from", "6"]) == 1
    assert "--from: position 6 is beyond what was published to Inngest, up to 4" in capsys.readouterr().err
    assert main(["relay", "--from", "5"]) == 0


def test_relay_without_inngest_is_one_line(tmp_path: Path) -> None:
    def relay(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock.cli", "relay"],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), **more},
            capture_output=True,
            text=True,
            timeout=60,
        )

    without, nobody = relay(), relay(INNGEST_DEV="http://127.0.0.1:1")
    assert (without.returncode, nobody.returncode) == (1, 0)
    assert without.stderr.startswith("penstock: neither INNGEST_DEV nor INNGEST_EVENT_KEY is set")
    assert nobody.stdout == "0 events published, 0 sent to listeners, up to position 0\n"
    assert main(["append", "ticket", "T-1", "TicketOpened"]) == 0
    failed = relay(INNGEST_DEV="http://127.0.0.1:1")
    assert failed.returncode == 1
    assert failed.stderr.startswith("penstock: Inngest cannot be reached")
    assert failed.stderr.count("\n") == 1
