"""The package without the sample domain: its files alone, in an empty folder, pass the package's tests."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

PROJECT: Final = Path(__file__).parents[2]
OF_THE_DEPLOYMENT: Final = re.compile(r"(shop|app|functions|tests/shop)/|supabase/migrations/[0-9]+_shop_.*\.sql$")
SUITES: Final = ("tests/unit", "tests/integration")
PYTEST: Final = (sys.executable, "-m", "pytest", "--numprocesses", "auto", "--quiet")
SECONDS: Final = 3600
FEWEST_TESTS: Final = 2000


@pytest.fixture
def alone() -> Iterator[Path]:
    """Where other users may look, too: some tests start Postgres as one of them."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        _copy(Path(name))
        yield Path(name)


def _copy(folder: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if not OF_THE_DEPLOYMENT.match(name):
            copy = folder / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, copy)


def in_the_copy(alone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # the interpreter may have the project itself installed: the copy comes first
    env = {**os.environ, "PYTHONPATH": str(alone)}
    return subprocess.run(command, cwd=alone, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_the_packages_tests_pass_without_the_shop(alone: Path) -> None:
    assert not list((alone / "supabase" / "migrations").glob("*_shop_*"))
    absent = "from importlib.util import find_spec; print(*map(find_spec, ('shop', 'app', 'functions')))"
    assert in_the_copy(alone, sys.executable, "-c", absent).stdout.split() == ["None"] * 3
    mine = in_the_copy(alone, sys.executable, "-c", "import penstock; print(penstock.__file__)").stdout.strip()
    assert Path(mine).is_relative_to(alone)
    done = in_the_copy(alone, *PYTEST, *SUITES)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) > FEWEST_TESTS, done.stdout[-2_000:]
