"""`penstock init`: few short files that pass their own tests, and nothing of somebody else's overwritten."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import penstock
from penstock.cli import main
from penstock.errors import Conflict, InvalidInput
from penstock.local.init import TEMPLATE, write_project
from penstock.postgres import migrations

PACKAGE = Path(penstock.__file__).parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path / "my-shop")
    return tmp_path / "my-shop"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder that belongs to no project: the command line would load the domains of one."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def installed(tmp_path: Path) -> dict[str, str]:
    """An environment that has the package and nothing else of this repository."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "penstock").symlink_to(PACKAGE)
    (folder / "supabase").symlink_to(PACKAGE.parent / "supabase")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTEST_"))}
    return {**kept, "PYTHONPATH": str(folder)}


def run(project: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        arguments, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_project_is_at_most_ten_short_files(project: Path) -> None:
    files = [path for path in project.rglob("*") if path.is_file() and ".penstock" not in path.parts]
    assert len(files) == 10
    for path in files:
        text = path.read_text()
        assert len(text.splitlines()) <= 80, path
        assert not [word for word in ("<NAME>", "<VERSION>", "<PENSTOCK>") if word in text], path


def test_a_project_passes_its_own_tests(project: Path, installed: dict[str, str]) -> None:
    assert "5 passed" in run(project, installed, "make", "test")


def test_a_project_is_in_order_as_written(project: Path) -> None:
    settings = str(PACKAGE.parent / "pyproject.toml")
    for command in (["check"], ["format", "--check"]):
        run(
            project,
            {**os.environ},
            sys.executable,
            "-m",
            "ruff",
            *command,
            "--config",
            settings,
            "app",
            "tickets",
            "tests",
        )


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ("sql tickets", "supabase/migrations/VERSION_tickets.sql"),
        ("python tickets", "tickets/__init__.py"),
        ("python function", "functions/answer_ticket.py"),
    ],
)
def test_the_readme_shows_the_files_as_they_are(block: str, name: str) -> None:
    written = (TEMPLATE / f"{name}.tmpl").read_text(encoding="utf-8")
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    shown = re.search(rf"^```{block}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert re.sub(r"\d{14}_tickets", "<VERSION>_tickets", shown[1]) == written


def test_the_first_migration_follows_the_packages_whatever_the_clock_says(tmp_path: Path) -> None:
    last = int(migrations.package_migrations()[-1].version)
    for year, version in ((1999, str(last + 1)), (2099, "20990101000000")):
        write_project(tmp_path / f"{year}", datetime(year, 1, 1, tzinfo=UTC))
        assert (tmp_path / f"{year}" / "supabase" / "migrations" / f"{version}_tickets.sql").is_file()
        assert f'"{version}_tickets"' in (tmp_path / f"{year}" / "tickets" / "__init__.py").read_text()


def test_a_file_that_is_there_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("mine")
    with pytest.raises(Conflict, match=r"pyproject\.toml exists: nothing was written"):
        write_project(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["pyproject.toml"]
    assert (tmp_path / "pyproject.toml").read_text() == "mine"


def test_a_folder_whose_name_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="gives no name"):
        write_project(tmp_path / "…")


@pytest.mark.usefixtures("nowhere")
def test_the_command_says_what_it_wrote_and_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "Mein Laden")]) == 0
    said = capsys.readouterr().out
    assert "wrote app/main.py" in said
    assert said.rstrip().endswith("make test && make up")
    assert 'name = "mein-laden"' in (tmp_path / "Mein Laden" / "pyproject.toml").read_text()


@pytest.mark.usefixtures("nowhere")
def test_the_migrations_are_listed_and_copied_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = [each.file for each in migrations.package_migrations()]
    assert main(["migrations"]) == 0
    assert capsys.readouterr().out.split() == ours
    assert main(["migrations", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"wrote {tmp_path / name}" for name in ours]
    assert main(["migrations", "--to", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path} has them all\n"
    (tmp_path / ours[0]).write_text("edited")
    assert main(["migrations", "--to", str(tmp_path)]) == 1
    assert f"penstock: {tmp_path / ours[0]} is not the file of this version" in capsys.readouterr().err
