"""`penstock import`: a look, the file, the bar, the way back."""

import io
import json
import re
import sys
from pathlib import Path

import psycopg
import pytest

from penstock.cli import main

LINES = "".join(f"{number},MUG,{'x' if number % 10 == 9 else 2},1.25,2026-01-01\n" for number in range(40))
ORDERS = f"No.,what,quantity,price,when\n{LINES}"
MAPPED = ("--map", "No.=ticket_id", "--map", "what=part", "--map", "when=opened_at")


@pytest.fixture(autouse=True)
def orders(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(project / "uploads"))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)
    (project / "orders.csv").write_text(ORDERS)


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["import", *arguments]) == code
    shown = capsys.readouterr()
    return shown.out, shown.err


def test_a_dry_run_shows_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], connection: psycopg.Connection
) -> None:
    shown, _ = run(capsys, "orders.csv", "--target", "tickets", *MAPPED, "--dry-run")
    lines = shown.splitlines()
    assert lines[0] == (
        "dry run, nothing is written: 40 lines read, 36 would be loaded, 0 skipped, 4 rejected, 0 held,"
        " 0 are known already"
    )
    assert lines[1] == "read as csv, utf-8, delimiter ','"
    assert ["No.", "ticket_id", "identifier"] in [line.split() for line in lines]
    rows = lines[lines.index("the first 20 rows") + 1 :]
    assert rows[0].split()[0] == "ticket_id"
    assert rows[1].split()[0] == "0"
    assert "the first 4 lines that are left out" in lines
    found = json.loads(run(capsys, "orders.csv", "--target", "tickets", *MAPPED, "--dry-run", "--json")[0])
    assert (found["loaded"], len(found["rows"])) == (36, 20)
    assert connection.execute("select count(*) from raw.imports").fetchone() == (0,)
    assert not (tmp_path / "uploads").exists()


def test_a_look_at_a_file_that_does_not_fit_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = run(capsys, "orders.csv", "--target", "tickets", "--dry-run", code=1)
    assert "no column is recognised as" in told
    assert "ticket_id" in told
    _, told = run(capsys, "orders.csv", "--target", "tickets", "--map", "colour=ticket_id", "--dry-run", code=1)
    assert "the file has no column 'colour'" in told


def test_a_file_goes_in_by_its_mapping_and_to_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    call = ("orders.csv", "--target", "tickets", *MAPPED)
    shown, _ = run(capsys, *call, "--reject-limit", "3", code=1)
    assert shown.startswith("aborted: 40 lines read")
    assert "more than 3 rejected lines" in shown
    shown, _ = run(capsys, *call, "--reject-limit", "4", code=3)
    assert shown.startswith(
        "completed_with_rejects: 40 lines read, 36 loaded, 0 skipped, 4 rejected, 0 held, 0 known before"
    )
    Path("again.csv").write_text(ORDERS + "\n")
    shown, _ = run(capsys, "again.csv", *call[1:], "--reject-share", "0.1")
    assert shown.startswith("completed: 40 lines read, 0 loaded")


def test_a_file_of_options_says_how_a_file_is_read(capsys: pytest.CaptureFixture[str], project: Path) -> None:
    said = {
        "fields": {"ticket_id": {"columns": ["No.", "what"]}, "part": "what", "quantity": {"constant": "3"}},
        "rows": [{"column": "quantity", "not_in": ["x"]}],
        "dates": {"opened_at": "%d.%m.%Y"},
    }
    (project / "how.json").write_text(json.dumps(said))
    typed = (
        "--field",
        "opened_at=when",
        "--date",
        "opened_at=iso",
        "--date",
        "opened_at=excel",
        "--decimal",
        "point",
    )
    shown, _ = run(capsys, "orders.csv", "--target", "tickets", "--dry-run", "--options", "how.json", *typed)
    assert "36 would be loaded" in shown
    assert """ticket_id is made of {"columns": ["No.", "what"]}""" in shown
    assert """only rows with {"column": "quantity", "not_in": ["x"]}""" in shown
    found = json.loads(
        run(capsys, "orders.csv", "--target", "tickets", "--dry-run", "--options", "how.json", *typed, "--json")[0]
    )
    assert found["plan"]["dates"] == {"opened_at": ["iso", "excel"]}
    assert (found["rows"][0]["ticket_id"], found["rows"][0]["quantity"]) == ("0-MUG", 3)
    for wrong in (("--options", "nowhere.json"), ("--rows", "{}"), ("--field", "ticket_id={")):
        with pytest.raises(SystemExit):
            main(["import", "orders.csv", "--target", "tickets", *wrong])
    assert "cannot be read" in capsys.readouterr().err


def test_standard_input_is_a_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ORDERS.encode())))
    shown, _ = run(capsys, "-", "--target", "tickets", *MAPPED, code=3)
    assert "36 loaded" in shown


def test_a_terminal_sees_one_moving_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown, told = run(capsys, "orders.csv", "--target", "tickets", *MAPPED, code=3)
    [*_, last] = told.partition("\n")[0].split("\r\x1b[K")
    assert last.startswith(
        "█" * 30 + " 100%  completed_with_rejects, 1.0 of 1.0 KB, 40 lines read, 40 done, 4 rejected or held"
    ), told
    assert "\r" not in shown
    monkeypatch.setenv("COLUMNS", "40")
    _, told = run(capsys, "orders.csv", "--target", "tickets", *MAPPED, code=3)
    frames = [frame.split("\n")[0] for frame in told.split("\r\x1b[K")[1:]]
    assert frames
    assert all(len(frame) < 40 for frame in frames)


def test_elsewhere_than_on_a_terminal_nothing_moves(capsys: pytest.CaptureFixture[str]) -> None:
    _, told = run(capsys, "orders.csv", "--target", "tickets", *MAPPED, code=3)
    assert "\r" not in told
    assert "\x1b" not in told
    assert "this very file was imported before" in run(capsys, "orders.csv", "--target", "tickets", *MAPPED, code=3)[1]


def test_a_table_import_is_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shelves: psycopg.Connection
) -> None:
    (tmp_path / "first.csv").write_text("id,height\na,1\nb,2\n")
    (tmp_path / "second.csv").write_text("id,height\nb,20\nc,30\n")
    run(capsys, "first.csv", "--target", "shelves")
    second = json.loads(run(capsys, "second.csv", "--target", "shelves", "--json")[0])["import_id"]
    shelves.execute("update public.shelves set height = 31 where id = 'c'")
    shown, _ = run(capsys, "undo", second)
    assert shown == f"undone: 0 rows removed, 1 restored, 1 kept because they were changed since (import {second})\n"
    rows = shelves.execute("select id, height from public.shelves order by id").fetchall()
    assert rows == [("a", 1), ("b", 2), ("c", 31)]
    assert "undone already" in run(capsys, "undo", second, code=1)[1]


def test_an_import_of_events_is_taken_back(capsys: pytest.CaptureFixture[str]) -> None:
    done = json.loads(run(capsys, "orders.csv", "--target", "tickets", *MAPPED, "--json", code=3)[0])["import_id"]
    shown, _ = run(capsys, "undo", done)
    assert re.fullmatch(
        rf"undone: by (\d+) events: \1 removed, 0 restored, 0 kept because .* \(import {done}\)\n", shown
    )
    again = json.loads(run(capsys, "orders.csv", "--target", "tickets", *MAPPED, "--json", code=3)[0])
    assert again["import_id"] != done
    assert again["duplicate"] == 0 < again["loaded"]


def test_what_cannot_be_taken_back_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "undo", "7", code=1)[1] == "penstock: id: not the id of an import\n"
    missing = "00000000-0000-0000-0000-000000000000"
    assert run(capsys, "undo", missing, code=1)[1] == f"penstock: there is no import {missing}\n"


def test_from_a_folder_below_the_file_goes_where_the_app_looks_for_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PENSTOCK_STORAGE_FOLDER")
    below = project / "files"
    below.mkdir()
    monkeypatch.chdir(below)
    (below / "tickets.jsonl").write_text(
        '{"aggregate_type": "ticket", "aggregate_id": "T-1", "event_type": "TicketOpened", "payload": {},'
        ' "occurred_at": "2026-01-01"}\n'
    )
    assert main(["import", "tickets.jsonl", "--target", "events"]) == 0
    assert [path.name for path in below.iterdir()] == ["tickets.jsonl"]
    assert any((project / ".penstock" / "uploads").iterdir())


def test_what_an_import_holds_is_released(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], connection: psycopg.Connection
) -> None:
    lines = "a,P,1,2.50,2026-01-01\na,P,x,2.50,2026-01-01\nb,P,1,2.50,2026-01-01\nb,P,x,2.50,2026-01-01\n"
    (tmp_path / "held.csv").write_text(ORDERS.splitlines()[0] + "\n" + lines)
    done = json.loads(run(capsys, "held.csv", "--target", "tickets", *MAPPED, "--json", code=3)[0])
    assert (done["loaded"], done["held"], done["rejected"]) == (0, 2, 2)
    assert "holds no ticket 'c'" in run(capsys, "release", done["import_id"], "c", code=1)[1]
    shown, _ = run(capsys, "release", done["import_id"], "b")
    assert shown.startswith("released: 1 orders\ncompleted_with_rejects: 4 lines read, 1 loaded")
    assert json.loads(run(capsys, "release", done["import_id"], "--json")[0])["result"]["released"] == 2
    stored = "select array_agg(distinct aggregate_id order by aggregate_id) from public.event_store"
    assert connection.execute(stored).fetchone() == (["a", "b"],)
    assert run(capsys, "release", done["import_id"])[0].startswith("released: 0 orders")


def test_a_further_file_is_joined_by_a_key(
    capsys: pytest.CaptureFixture[str], project: Path, connection: psycopg.Connection
) -> None:
    (project / "lines.csv").write_text("ticket_id,part,quantity,price\nT1,P1,1,2.50\nT2,P1,1,2.50\nT3,P1,1,2.50\n")
    (project / "tickets.csv").write_text("no,opened_at\nT1,2026-01-05\nT2,2026-01-06\nT9,2026-01-07\n")
    call = ("lines.csv", "--target", "tickets", "--join", "tickets.csv", "--on", "ticket_id=no")
    said = ("--field", "opened_at=tickets.opened_at")
    shown, _ = run(capsys, *call, *said, "--dry-run")
    assert "3 lines read, 2 would be loaded, 0 skipped, 1 rejected" in shown
    assert 'joined with tickets.csv on {"ticket_id": "no"}' in shown
    shown, _ = run(capsys, *call, *said, code=3)
    lines = shown.splitlines()
    assert lines[0].startswith("completed_with_rejects: 3 lines read, 2 loaded")
    assert lines[1] == "tickets.csv: 3 records read, 2 used, 1 unused, 0 repeated, 0 rejected"
    assert "warning: tickets.csv: 1 of 3 records belong to no line of the file" in lines
    assert connection.execute("select reason from raw.import_rejects").fetchall() == [
        ("ticket_id 'T3' is not in tickets.csv",)
    ]
    _, told = run(capsys, *call[:3], "--join", "nowhere.csv", "--on", "ticket_id=no", code=1)
    assert "there is no such file" in told
    with pytest.raises(SystemExit):
        main(["import", *call[:3], "--on", "ticket_id=no"])
    assert "--on follows the --join that it belongs to" in capsys.readouterr().err
