"""The Makefile on a fresh copy: set up from the package index, run, run again at once, clean."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.checkout import Up, copy_project, left_over

INSTALL_SECONDS = 300


@pytest.fixture
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="penstock-make-"))
    outer.chmod(0o755)
    yield copy_project(outer / "penstock")
    shutil.rmtree(outer)


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, env=os.environ
    )


def test_make_up_from_nothing_and_make_clean_back_to_nothing(folder: Path) -> None:
    before = {path.name for path in folder.iterdir()}
    assert make(folder, ".venv/local").returncode == 0
    began = time.monotonic()
    assert "up to date" in make(folder, ".venv/local").stdout
    assert time.monotonic() - began < 2
    up = Up(folder, command=["make", "up"]).ready()
    assert up.get("/v1/views/monthly_revenue")["rows"][0]["revenue"] == "823746.140"
    supervisor = int((folder / ".penstock" / "lock").read_text())
    os.kill(supervisor, 2)
    assert up.ended() == 0
    assert left_over(folder) == []
    assert make(folder, "clean").returncode == 0
    assert {path.name for path in folder.iterdir()} == before


def test_a_python_that_is_too_old_is_one_line(folder: Path) -> None:
    done = make(folder, "--silent", "up", "PYTHON=false")
    assert done.returncode != 0
    line, *rest = done.stderr.splitlines()
    assert line.startswith("penstock: needs Python 3.11 or newer; found none among: false")
    assert len(rest) == 1
    assert rest[0].startswith("make: ***")
