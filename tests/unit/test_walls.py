"""Walls that a reader relies on: the package and its tests know no sample domain, and no file is too long unnoticed."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DEPLOYMENT = {"shop", "functions", "app"}
CALLS_THAT_IMPORT = {"import_module", "resolve_name", "__import__", "find_spec", "run_module"}
MOST_LINES = 400


def tracked(*patterns: str) -> list[Path]:
    """The project's files of these patterns; without git (a copy of the files) all of them."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [path for name in listed.stdout.splitlines() if (path := PROJECT / name).is_file()]
    hidden = {".venv", ".penstock", "build"}
    found = (path for pattern in patterns for path in PROJECT.rglob(pattern))
    return [path for path in found if not hidden & set(path.relative_to(PROJECT).parts)]


def imported(path: Path) -> Iterator[str]:
    """The modules that a file imports, also those that it names in a text for an importing function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""
        elif isinstance(node, ast.Call) and _name(node.func) in CALLS_THAT_IMPORT:
            texts = (each.value for each in node.args if isinstance(each, ast.Constant))
            yield from (text.partition(":")[0] for text in texts if isinstance(text, str))


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def package_files() -> list[Path]:
    return [path for path in tracked("*.py") if path.is_relative_to(PROJECT / "penstock")]


def package_tests() -> list[Path]:
    """The tests of the package, and what lies beside them for all tests."""
    folder = PROJECT / "tests"
    rooms = (folder / "unit", folder / "integration")
    return [path for path in tracked("*.py") if path.parent == folder or any(map(path.is_relative_to, rooms))]


@pytest.mark.parametrize("files", [package_files, package_tests])
def test_the_package_and_its_tests_import_no_sample_domain(files) -> None:
    found = {
        f"{path.relative_to(PROJECT)}: {module}"
        for path in files()
        for module in imported(path)
        if module.partition(".")[0] in DEPLOYMENT or module.startswith("tests.shop")
    }
    assert files()
    assert found == set()


@pytest.mark.parametrize(
    "code",
    [
        "import shop.orders",
        "from app.main import app",
        "importlib.import_module('functions.run_daily_etl')",
        "resolve_name('shop:DOMAIN')",
        "def late():\n    from shop import DOMAIN",
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "module.py").write_text(code)
    assert {module.partition(".")[0] for module in imported(tmp_path / "module.py")} & DEPLOYMENT


def test_a_long_file_says_why_it_is_long() -> None:
    """In its first lines, by the words `lines` and `because`; else it is to be split."""
    unexplained = []
    for path in tracked("*.py", "*.sql"):
        text = path.read_text(encoding="utf-8")
        head = " ".join(text.splitlines()[:12])
        if text.count("\n") > MOST_LINES and not ("400 lines" in head and "because" in head):
            unexplained.append(str(path.relative_to(PROJECT)))
    assert unexplained == []
