"""The runner of mutants can fail: a small project with a good test, a weak one, and ones that cannot judge."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.mutants import FOLDER, BadMutant, Mutant, load
from tests.mutation.run import run

PRICES = "def total(prices):\n    return sum(prices)\n\n\ndef first(prices):\n    return prices[0]\n"
# The last one imports in a process of its own, elsewhere and without an environment: also that sees the copy.
TESTS = """
import subprocess, sys
import pytest
import prices

@pytest.fixture
def basket():
    return [prices.first([3]), 4]

def test_total():
    assert prices.total([1, 2]) == 3

def test_total_of_nothing():
    assert prices.total([]) == 0

def test_basket(basket):
    assert prices.total(basket) == 7

@pytest.mark.skipif(prices.total([1]) != 1, reason="it is wrong")
def test_skipped():
    assert prices.total([1]) == 1

def test_from_another_process():
    code = "import prices; assert prices.total([1, 2]) == 3"
    subprocess.run([sys.executable, "-c", code], cwd="/", env={}, check=True)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "prices.py").write_text(PRICES)
    (folder / "test_prices.py").write_text(TESTS)
    (folder / "pyproject.toml").write_text("[tool.pytest.ini_options]\n")
    return folder


def mutant(why: str, *tests: str, old: str = "sum(prices)", new: str = "sum(prices[1:])") -> Mutant:
    return Mutant("small.toml", why, "prices.py", old, new, tuple(f"test_prices.py::{test}" for test in tests))


def outcomes(said: str) -> dict[str, str]:
    verdicts = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return {verdict["why"]: verdict["outcome"] for verdict in verdicts}


def test_each_mutant_gets_the_verdict_that_its_tests_give(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mutants = [
        mutant("seen", "test_total"),
        mutant("seen by one of two", "test_total_of_nothing", "test_total"),
        mutant("seen from another process", "test_from_another_process"),
        mutant("not seen", "test_total_of_nothing"),
        mutant("not there", "test_total", old="max(prices)"),
        mutant("there twice", "test_total", old="prices"),
        mutant("breaks the file", "test_total", new="sum(prices"),
        mutant("breaks a fixture", "test_basket", old="prices[0]", new="1 / 0"),
        mutant("skips its test", "test_skipped"),
    ]
    assert not run(project, mutants)
    said = capsys.readouterr().out
    assert outcomes(said) == {
        "seen": "killed",
        "seen by one of two": "killed",
        "seen from another process": "killed",
        "not seen": "survived",
        "not there": "error",
        "there twice": "error",
        "breaks the file": "error",
        "breaks a fixture": "error",
        "skips its test": "error",
    }
    assert "9 mutants: 3 killed, 1 survived, 5 error" in said.splitlines()[-1]
    assert (project / "prices.py").read_text() == PRICES


def test_all_killed_is_a_success(project: Path) -> None:
    assert run(project, [mutant("seen", "test_total")], workers=1)


@pytest.mark.parametrize("test", ["test_total", "test_that_is_not_there"])
def test_tests_that_do_not_pass_on_the_unchanged_project_judge_nothing(
    project: Path, capsys: pytest.CaptureFixture[str], test: str
) -> None:
    (project / "prices.py").write_text(PRICES.replace("sum(prices)", "0"))
    assert not run(project, [mutant("seen", test, old="return 0", new="return 1")], workers=1)
    said = capsys.readouterr().out
    assert "do not all pass on the unchanged project" in said
    assert not outcomes(said)


@pytest.mark.parametrize(
    "entry",
    [
        "[[mutant]]\nwhy = 'no tests'\nfile = 'a'\nold = 'b'\nnew = 'c'\ntests = []",
        "[[mutant]]\nwhy = 'no change'\nfile = 'a'\nold = 'b'\nnew = 'b'\ntests = ['t']",
        "[[mutant]]\nwhy = 'no file'\nold = 'b'\nnew = 'c'\ntests = ['t']",
        "[[mutants]]\nwhy = 'misspelt'",
        "not toml",
    ],
)
def test_an_entry_of_another_form_is_refused(tmp_path: Path, entry: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(entry)
    with pytest.raises(BadMutant):
        load([file])
    ended = subprocess.run(
        [sys.executable, "-m", "tests.mutation.run", file], cwd=FOLDER.parents[1], capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "bad.toml" in ended.stderr
