"""The package without the sample domain: its files alone, in an empty folder, pass the package's tests."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
OF_THE_DEPLOYMENT = re.compile(r"(shop|app|functions|tests/shop)/|supabase/migrations/[0-9]+_shop_.*\.sql$")
SECONDS = 3600


def package_files() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name and not OF_THE_DEPLOYMENT.match(name)]


@pytest.fixture
def alone(tmp_path: Path) -> Path:
    for name in package_files():
        copy = tmp_path / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, copy)
    return tmp_path


@pytest.mark.real
def test_the_packages_tests_pass_without_the_shop(alone: Path) -> None:
    assert not any((alone / name).exists() for name in ("shop", "app", "functions", "tests/shop"))
    assert not list((alone / "supabase" / "migrations").glob("*_shop_*"))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/unit", "tests/integration", "-n", "2", "--dist", "loadgroup", "-q"],
        cwd=alone,
        # the interpreter may have the project itself installed: the copy comes first
        env={**os.environ, "PYTHONPATH": str(alone)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-20_000:]
    assert re.search(r"\d{3,} passed", done.stdout), done.stdout[-2_000:]
