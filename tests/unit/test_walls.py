"""Walls that a reader relies on: the package and its tests know no sample domain, and no file is too long unnoticed."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from penstock.payloads import schemas
from penstock.projections import projections
from penstock.views import views

PROJECT: Final = Path(__file__).parents[2]
# Tests of the shop, and the suites that are about the whole product: the shop deployed, run, documented.
MAY_KNOW_THE_SHOP: Final = ("tests/shop", "tests/e2e", "tests/real", "tests/repository")
# The benchmarks measure the shop.
DEPLOYMENT: Final = ("shop", "functions", "app", "benchmarks")
CALLS_THAT_IMPORT: Final = {"import_module", "resolve_name", "__import__", "find_spec", "run_module"}
# As a text names what is to be imported or patched: an entry point, an attribute, a statement for another interpreter.
_ROOT: Final = rf"(?<![\w./@])(?:{'|'.join(DEPLOYMENT)})"
IN_A_TEXT: Final = re.compile(
    rf"{_ROOT}(?:\.\w+)*:[A-Za-z_]\w*|^{_ROOT}(?:\.\w+){{2,}}$|\b(?:from|import) +(?:{_ROOT}|tests\.shop)\b"
)
MOST_LINES: Final = 400
HEAD_LINES: Final = 12


def tracked(*patterns: str) -> list[Path]:
    """The project's files of these patterns; without git (a copy of the files) all of them."""
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listed.returncode == 0:
        return [path for name in listed.stdout.splitlines() if (path := PROJECT / name).is_file()]
    hidden = {".venv", ".penstock", "build"}
    found = (path for pattern in patterns for path in PROJECT.rglob(pattern))
    return [path for path in found if not hidden & set(path.relative_to(PROJECT).parts)]


def known(path: Path) -> Iterator[str]:
    """What a file knows of the deployment: the modules that it imports, and the texts that name one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and _name(node.func) in CALLS_THAT_IMPORT:
            modules = [each.value for each in node.args if isinstance(each, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and IN_A_TEXT.search(node.value):
            yield node.value
        yield from (name for name in modules if re.match(rf"{_ROOT}\b|tests\.shop\b", str(name)))


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", getattr(function, "id", ""))


def package_tests() -> list[Path]:
    """The tests of the package, and what lies beside them for all tests."""
    rooms = [PROJECT / room for room in MAY_KNOW_THE_SHOP]
    tests = [path for path in tracked("*.py") if path.is_relative_to(PROJECT / "tests")]
    return [path for path in tests if path != Path(__file__) and not any(map(path.is_relative_to, rooms))]


def test_the_tests_of_the_package_know_no_sample_domain() -> None:
    files = package_tests()
    assert len(files) > 100
    found = [f"{path.relative_to(PROJECT)}: {name}" for path in files for name in known(path)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import shop.orders",
        "from app.main import app",
        "from tests import shop",
        "from tests.shop.online_retail import SAMPLE",
        "importlib.import_module('functions.run_daily_etl')",
        "resolve_name('shop:DOMAIN')",
        "def late():\n    from shop import DOMAIN",
        "monkeypatch.setattr('shop.figures.daily.PORTION', 2)",
        "run(python, '-c', 'import os; from shop import DOMAIN')",
        "table = '[tool.penstock]\\ndomains = [\"shop:DOMAIN\"]\\n'",
        "command = ['uvicorn', 'app.main:app']",
    ],
)
def test_every_way_to_import_is_seen(tmp_path: Path, code: str) -> None:
    (tmp_path / "module.py").write_text(code)
    assert list(known(tmp_path / "module.py"))


@pytest.mark.parametrize("code", ["import shopping", "text = 'the shop opens'", "from penstock.http import app"])
def test_what_is_no_import_of_it_is_let_pass(tmp_path: Path, code: str) -> None:
    (tmp_path / "module.py").write_text(code)
    assert list(known(tmp_path / "module.py")) == []


def test_no_domain_is_known_before_a_test_installs_one() -> None:
    """Not even in a process whose other tests import the app: else tests of the package would pass thanks to it."""
    assert {*projections(), *schemas(), *views()} == set()


def test_tests_are_in_the_room_that_the_code_is_in() -> None:
    for suite in (PROJECT / "tests" / "unit", PROJECT / "tests" / "integration"):
        rooms = {path.parent.relative_to(suite) for path in suite.rglob("test_*.py")}
        assert len(rooms) > 5
        assert sorted(str(room) for room in rooms if not (PROJECT / "penstock" / room).is_dir()) == []


def explained(text: str) -> bool:
    """Short enough, or its first lines say why not, with the words `400 lines` and `because`."""
    lines = text.splitlines()
    head = " ".join(lines[:HEAD_LINES])
    return len(lines) <= MOST_LINES or (f"{MOST_LINES} lines" in head and "because" in head)


def test_a_long_file_says_why_it_is_long() -> None:
    files = tracked("*.py", "*.sql", "*.ts", "*.js", "*.mjs", "*.css")
    assert len(files) > 300
    unexplained = [path for path in files if not explained(path.read_text(encoding="utf-8"))]
    assert [str(path.relative_to(PROJECT)) for path in unexplained] == []


def test_length_without_a_reason_is_noticed() -> None:
    assert explained("x\n" * MOST_LINES)
    assert not explained("x\n" * (MOST_LINES + 1))
    assert explained('"""Over 400 lines because the tests share one server."""\n' + "x\n" * MOST_LINES)
