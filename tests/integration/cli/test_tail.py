"""`penstock tail`: what was appended, in order, as it comes."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psycopg
import pytest

from penstock.cli import main, tail
from penstock.event_store import NewEvent, append


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setattr(tail, "POLL_SECONDS", 0.02)


def opened(connection: psycopg.Connection, stream: str, event_type: str = "TicketOpened", **payload: object) -> int:
    return append(connection, "ticket", stream, "any", [NewEvent(event_type, payload)]).position


def test_events_of_before_are_shown_from_a_position_on(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        opened(connection, f"T-{number}", subject="Late")
    assert main(["tail", "--after", "1", "--limit", "2", "--json"]) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(event["position"], event["aggregate_id"]) for event in shown] == [(2, "T-1"), (3, "T-2")]
    assert shown[0]["payload"] == {"subject": "Late"}
    assert main(["tail", "--after", "0", "--limit", "1"]) == 0
    position, at, stream, version, event_type, payload = capsys.readouterr().out.split()[:6]
    assert (position, stream, version, event_type) == ("1", "ticket/T-0", "v1", "TicketOpened")
    assert (payload, at[4]) == ('{"subject":"Late"}', "-")


def test_more_events_than_a_page_come_whole_and_in_order(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    append(connection, "ticket", "T-1", "any", [NewEvent("TicketOpened", {"n": n}) for n in range(250)])
    assert main(["tail", "--after", "0", "--limit", "250", "--json"]) == 0
    assert [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()] == list(range(1, 251))


def test_a_type_is_found_among_others(connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(4):
        opened(connection, "T-1", "TicketClosed" if number % 2 else "TicketOpened")
    assert main(["tail", "--after", "0", "--type", "TicketClosed", "--limit", "2", "--json"]) == 0
    assert [json.loads(line)["position"] for line in capsys.readouterr().out.splitlines()] == [2, 4]


def test_only_what_is_new_is_shown_and_none_is_left_out(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(connection, "of-before")
    looked = threading.Event()
    wait = tail.time.sleep
    monkeypatch.setattr(tail.time, "sleep", lambda seconds: (looked.set(), wait(seconds)))
    following = threading.Thread(target=main, args=(["tail", "--limit", "3", "--json"],))
    following.start()
    assert looked.wait(60)
    for number in range(3):
        opened(connection, f"T-{number}")
    following.join(60)
    shown = [json.loads(line)["aggregate_id"] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["T-0", "T-1", "T-2"]


def test_what_comes_from_outside_does_not_steer_the_terminal(
    connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    opened(connection, "T\x1b[2J", subject="\x1b]0;title\x07")
    assert main(["tail", "--after", "0", "--limit", "1"]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\\u001b[2J" in shown


def test_who_has_seen_enough_ends_it_without_a_word(database_url: str, connection: psycopg.Connection) -> None:
    append(connection, "ticket", "T-1", "any", [NewEvent("TicketOpened", {"text": "x" * 5000}) for _ in range(200)])
    command = f"{sys.executable} -m penstock.cli tail --after 0 | head -n 1"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1  ")
