"""The commands that only show something: `dsn`, `keys`, `imports`, `targets`, `completion`, `--version`."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.cli import main
from penstock.errors import Forbidden, Unauthenticated
from penstock.http.security import authorise
from penstock.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(project / "uploads"))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(arguments) == 0
    return capsys.readouterr().out


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "penstock.cli", *arguments],
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_dsn_is_the_address_that_the_commands_use(database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "dsn") == f"{database_url}\n"


def test_env_gives_what_the_environment_does_not(project: Path, database_url: str) -> None:
    (project / ".env").write_text("export DATABASE_URL='postgresql://in.the.file/x?y=$z' # local\n")
    assert run("dsn").stdout == "postgresql://in.the.file/x?y=$z\n"
    assert run("dsn", DATABASE_URL=database_url).stdout == f"{database_url}\n"


def test_env_counts_before_anything_reads_the_environment(project: Path) -> None:
    """The zone of the schedules is read from the environment itself, without settings."""
    (project / ".env").write_text("PENSTOCK_TIMEZONE=Asia/Tokyo\n")
    (project / "zone.py").write_text(
        "from penstock.domain import Domain\nfrom penstock.settings import business_timezone\n"
        "DOMAIN = Domain(f'zone {business_timezone()}')\nprint(DOMAIN.name)\n"
    )
    (project / "pyproject.toml").write_text('[tool.penstock]\ndomains = ["zone:DOMAIN"]\n')
    assert run("targets").stdout.startswith("zone Asia/Tokyo\n")


@pytest.mark.parametrize(
    ("content", "reason"), [(b"A=1\nnonsense\n", "line 2: not NAME=value"), (b"\xff", "not UTF-8")]
)
def test_an_env_that_cannot_be_read_is_one_line(project: Path, content: bytes, reason: str) -> None:
    (project / ".env").write_bytes(content)
    done = run("targets")
    assert done.returncode == 1
    assert done.stderr.startswith("penstock: ")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


def test_a_key_is_what_its_entry_lets_in(capsys: pytest.CaptureFixture[str]) -> None:
    made = json.loads(shown(capsys, "keys", "till", "--scope", "write", "--scope", "read", "--json"))
    name, digest, scopes = made["entry"].split(":")
    assert (name, digest, scopes) == ("till", hashlib.sha256(made["key"].encode()).hexdigest(), "read+write")
    settings = Settings.from_env(
        {
            "DATABASE_URL": "postgresql://",
            "PENSTOCK_API_KEYS": made["entry"],
            "INNGEST_SERVE_ORIGIN": "https://shop.example",
            "INNGEST_SIGNING_KEY": "signkey-prod-00",
            "INNGEST_EVENT_KEY": "key",
        }
    )
    assert authorise(settings, f"Bearer {made['key']}", "write").name == "till"
    with pytest.raises(Forbidden):
        authorise(settings, f"Bearer {made['key']}", "admin")
    with pytest.raises(Unauthenticated):
        authorise(settings, f"Bearer {made['key']}x", "read")


def test_each_key_is_a_new_one_and_the_entry_does_not_hold_it(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = shown(capsys, "keys", "till"), shown(capsys, "keys", "till")
    [key], [entry] = (re.findall(rf"^{name}\s+(\S+)$", first, re.MULTILINE) for name in ("key", "entry"))
    assert entry.endswith(":read")
    assert key not in entry
    assert len(key) > 40
    assert key not in second


def test_a_key_needs_a_name_that_settings_take(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["keys", "the till:1"])
    assert "is not a name of at most 64 letters" in capsys.readouterr().err


def test_imports_are_listed_the_latest_first(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "imports") == "no file was imported yet\n"
    header = "ticket,product,qty,date,each\n"
    (project / "first.csv").write_text(f"{header}T-1,mug,2,2026-01-05,7.50\n")
    (project / "second.csv").write_text(f"{header}T-2,mug,two,2026-01-05,7.50\n")
    assert main(["import", "first.csv", "--target", "tickets"]) == 0
    assert main(["import", "second.csv", "--target", "tickets"]) == 3
    listed = json.loads(shown(capsys, "imports", "--json"))
    assert [(each["source_name"], each["state"], each["loaded"], each["rejected"]) for each in listed] == [
        ("second.csv", "completed_with_rejects", 0, 1),
        ("first.csv", "completed", 1, 0),
    ]
    header, first, *_ = shown(capsys, "imports", "--limit", "1").splitlines()
    assert header.split()[:4] == ["created_at", "target", "source_name", "state"]
    assert listed[0]["import_id"] in first


def test_targets_say_what_a_file_needs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL")
    listed = {each["target"]: each["fields"] for each in json.loads(shown(capsys, "targets", "--json"))}
    assert set(listed) == {"events", "tickets"}
    assert listed["tickets"][0] == {
        "field": "ticket_id",
        "type": "identifier",
        "needed": "yes",
        "also_called": ["ticket", "id"],
    }
    lines = shown(capsys, "targets", "tickets").splitlines()
    assert lines[0] == "tickets"
    assert lines[2].split() == ["ticket_id", "identifier", "yes", "ticket,", "id"]
    assert main(["targets", "nothing"]) == 1


def test_the_version_is_one_line() -> None:
    done = run("--version")
    assert re.fullmatch(r"penstock \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_commands_and_options(shell: str) -> None:
    script = run("completion", shell)
    assert script.returncode == 0
    for word in ("import", "reset", "--after", "completion"):
        assert word in script.stdout


def test_bash_completes_a_command(tmp_path: Path) -> None:
    (tmp_path / "completion.bash").write_text(run("completion", "bash").stdout)
    ask = (
        'source completion.bash; COMP_WORDS=(penstock res); COMP_CWORD=1; COMP_LINE="penstock res";'
        ' $(complete -p penstock | sed "s/.*-F \\([^ ]*\\).*/\\1/") penstock res penstock; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", ask], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["reset"]
