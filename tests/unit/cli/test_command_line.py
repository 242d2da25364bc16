"""What can be typed at `penstock`, and how it refuses."""

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli import main, session
from penstock.cli import parse as parse_arguments
from penstock.cli.import_arguments import reading_options
from penstock.errors import SettingsError
from penstock.local import PROJECT


def parse(arguments: list[str]) -> argparse.Namespace:
    return parse_arguments(arguments, ())


@pytest.fixture(autouse=True)
def no_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)


@pytest.mark.parametrize(
    "name", ["up", "migrate", "import", "append", "rebuild", "refresh", "relay", "retry", "runs", "doctor"]
)
def test_every_command_of_the_interface_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse([name, "--help"])
    assert left.value.code == 0
    assert f"penstock {name}" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["0", "17", "9" * 18])
def test_relay_takes_a_position(text: str) -> None:
    assert parse(["relay", "--from", text]).from_position == int(text)


@pytest.mark.parametrize("text", ["-1", "1.5", "", "²", "9" * 19, "first"])
def test_relay_refuses_what_is_not_a_position(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse(["relay", f"--from={text}"])
    assert left.value.code == 2
    assert "is not a position" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["append", "order", "1", "Paid", "--expected", "-1"], "expected"),
        (["append", "order", "1", "Paid", "--expected", "last"], "is none of any, no_stream, stream_exists"),
        (["append", "order", "1"], "event_type"),
        (["import", "orders.csv"], "--target"),
        (["import", "orders.csv", "more.csv", "--target", "tickets"], "more.csv"),
        (["import", "orders.csv", "--target", "tickets", "--map", "field"], "'field' is not COLUMN=FIELD"),
        (["import", "orders.csv", "--target", "tickets", "--mapping", "{"], "not JSON"),
        (["import", "orders.csv", "--target", "tickets", "--constant", "=x"], "'=x' is not FIELD=VALUE"),
        (["import", "orders.csv", "--target", "tickets", "--reject-limit", "-1"], "'-1' is not a whole number"),
        (["import", "undo"], "the id of an import"),
        (["import", "undo", "7", "--target", "tickets"], "takes an id alone"),
        (["runs", "--limit", "0"], "--limit"),
        (["fly"], "fly"),
        ([], "command"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_names_what_is_wrong(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse(arguments)
    assert left.value.code == 2
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize(("text", "expected"), [("any", "any"), ("no_stream", "no_stream"), ("7", 7), ("0", 0)])
def test_an_expected_version_is_a_word_or_a_number(text: str, expected: object) -> None:
    options = parse(["append", "order", "1", "Paid", "--expected", text])
    assert options.expected == expected
    assert options.payload == "{}"


def test_an_import_says_how_its_file_is_read() -> None:
    typed = ["--map", "a=b=ticket_id", "--map", "Remarks=", "--constant", "currency=EUR=", "--date", "at=%d/%m/%Y"]
    options = parse(["import", "f.csv", "--target", "tickets", *typed, "--decimal", ",", "--no-header"])
    assert (options.file, options.reject_limit, options.dry_run) == ("f.csv", None, False)
    assert reading_options(options) == {
        "mapping": {"a=b": "ticket_id", "Remarks": None},
        "constants": {"currency": "EUR="},
        "dates": {"at": "%d/%m/%Y"},
        "decimal": ",",
        "header": False,
    }
    assert reading_options(parse(["import", "f.csv", "--target", "tickets"])) == {}
    assert parse(["import", "./undo", "--target", "tickets"]).file == "./undo"
    assert parse(["import", "undo", "7"]).id == "7"


def test_an_error_is_one_line_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://someone:hidden@127.0.0.1:1/none?connect_timeout=2")
    assert main(["runs"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("penstock: Postgres")
    assert "hidden" not in shown.err


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://127.0.0.1/x")
    assert main(["migrate"]) == 1
    assert capsys.readouterr().err == "penstock: DATABASE_URL does not start with postgresql://\n"


def test_commands_need_no_keys_of_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/x")
    monkeypatch.setenv("PENSTOCK_ENV", "production")
    assert session.command_settings().database_url == "postgresql://127.0.0.1/x"


def test_commands_run_in_a_build_on_vercel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/x")
    monkeypatch.setenv("VERCEL", "1")
    assert session.command_settings().is_local


def test_doctor_shows_a_wrong_variable_as_a_failed_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1/x")
    monkeypatch.setenv("PENSTOCK_ENV", "local")
    monkeypatch.setenv("INNGEST_SIGNING_KEY", "signkey-prod-not-hex")
    assert main(["doctor"]) == 1
    shown = capsys.readouterr()
    assert shown.out.startswith("FAIL  environment    INNGEST_SIGNING_KEY must be hexadecimal")
    assert shown.err == ""


def test_a_file_env_stands_behind_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text('# a comment\n\nexport PORT=1\nNAME_IN_FILE="a b"\n')
    monkeypatch.setenv("PORT", "2")
    assert session.environment()["PORT"] == "2"
    assert session.environment()["NAME_IN_FILE"] == "a b"


def test_a_broken_line_in_env_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=1\nnonsense\n")
    with pytest.raises(SettingsError, match=r"\.env, line 2: not NAME=value"):
        session.environment()


def test_rows_are_printed_as_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    session.print_rows([{"a": None, "b": "x\ny"}, {"a": 12, "b": "z"}], ("a", "b"), empty="none")
    assert capsys.readouterr().out == "a   b\n    x y\n12  z\n"
    session.print_rows([], ("a",), empty="none")
    assert capsys.readouterr().out == "none\n"


def test_options_know_their_command() -> None:
    assert isinstance(parse(["up"]), argparse.Namespace)
    assert parse(["doctor", "--json"]).json is True


def test_a_reader_that_has_enough_ends_it_quietly(tmp_path: Path) -> None:
    script = (
        "import os, sys; from penstock.cli import main, operations; os.chdir(sys.argv[1]);"
        "operations.runs = lambda options: print('a line\\n' * 100_000, flush=True);"
        "sys.exit(main(['runs']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as runs:
        assert runs.stdout
        assert runs.stderr
        assert runs.stdout.readline() == "a line\n"
        runs.stdout.close()
        assert runs.stderr.read() == ""
    assert runs.returncode == 141
