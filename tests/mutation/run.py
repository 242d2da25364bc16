"""Take chosen lines of the project away, one at a time, and see the tests fail that are about them.

`python -m tests.mutation.run [FILE.toml …]` runs the mutants of all `*.toml` beside this file, or of those named
(`mutants.py` shows their form). First all their tests run once on the unchanged project and must pass. Then each
mutant is applied to a copy of the project and its tests run: a test that fails has killed it, and one that all tests
let pass has survived. Ends with 1 if one survived or could not be judged: `old` is not there exactly once, a test does
not exist, cannot be collected, is skipped, breaks in a fixture, or does not end. Writes one JSON line for each mutant
and a summary line.

Each worker has a copy of its own, with a virtual environment that finds the copy's code and the installed packages
and nothing else, so that no process started by a test can reach the unchanged code.
"""

import argparse
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutation.mutants import FOLDER, BadMutant, Mutant, load

PROJECT = FOLDER.parents[1]
WORKERS = 2
SECONDS = 300
LINES_SHOWN = 25
# What is made, not written; and a copy inside a copy.
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", ".penstock", "__pycache__", "node_modules", "*.egg-info", ".*_cache", ".hypothesis", ".env"
)
# What would bring a test to another session's server, options or code.
NOT_INHERITED = ("PYTEST_", "PENSTOCK_", "PYTHONPATH", "COV_")


@dataclass(frozen=True, slots=True)
class Verdict:
    """`outcome` is killed, survived or error; `detail` says what pytest said where that helps."""

    source: str
    file: str
    why: str
    outcome: str
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Tested:
    """What a call of pytest came to: how many tests passed, failed, and could not be judged."""

    passed: int
    failed: int
    unjudged: int
    output: str


class Copy:
    """A copy of the project, for one worker at a time."""

    def __init__(self, project: Path, folder: Path) -> None:
        self._root = folder / "project"
        self._report = folder / "report.xml"
        shutil.copytree(project, self._root, ignore=NOT_COPIED, symlinks=True)
        self._python = _environment(self._root)

    def judge(self, mutant: Mutant) -> Verdict:
        began = time.monotonic()
        try:
            with self._applied(mutant):
                outcome, detail = _judgement(self.test(mutant.tests, "--exitfirst"))
        except BadMutant as error:
            outcome, detail = "error", str(error)
        seconds = round(time.monotonic() - began, 1)
        return Verdict(mutant.source, mutant.file, mutant.why, outcome, seconds, detail)

    def test(self, tests: Sequence[str], *options: str) -> Tested:
        self._report.unlink(missing_ok=True)
        arguments = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={self._report}", *options, *tests]
        with subprocess.Popen(
            [self._python, *arguments],
            cwd=self._root,
            env=_clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=SECONDS)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                output = process.communicate()[0] + f"\nstopped after {SECONDS} s"
        return _tested(self._report, process.returncode, output)

    @contextmanager
    def _applied(self, mutant: Mutant) -> Iterator[None]:
        path = self._root / mutant.file
        text = mutant.mutated(self._root)
        former = path.read_bytes()
        path.write_text(text, encoding="utf-8")
        try:
            yield
        finally:
            path.write_bytes(former)


def run(project: Path, mutants: Sequence[Mutant], workers: int = WORKERS) -> bool:
    """Judge all; whether all were killed."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="penstock-mutation-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        copies: queue.Queue[Copy] = queue.Queue()
        for number in range(workers):
            copies.put(Copy(project, folder / str(number)))
        if not _all_pass(copies, sorted({test for mutant in mutants for test in mutant.tests}), workers):
            return False
        verdicts = list(_verdicts(copies, mutants, workers))
    counts = {outcome: sum(one.outcome == outcome for one in verdicts) for outcome in ("killed", "survived", "error")}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    print(f"mutation: {len(verdicts)} mutants: {said}, in {time.monotonic() - began:.0f} s", flush=True)
    return counts["killed"] == len(verdicts)


def _all_pass(copies: "queue.Queue[Copy]", tests: Sequence[str], workers: int) -> bool:
    """A test that fails in any case would kill every mutant."""
    copy = copies.get()
    tested = copy.test(tests, "--numprocesses", str(workers))
    copies.put(copy)
    if tested.failed or tested.unjudged or not tested.passed:
        print(f"{tested.output}\nmutation: the tests do not all pass on the unchanged project", flush=True)
        return False
    return True


def _verdicts(copies: "queue.Queue[Copy]", mutants: Sequence[Mutant], workers: int) -> Iterator[Verdict]:
    def judge(mutant: Mutant) -> Verdict:
        copy = copies.get()
        try:
            return copy.judge(mutant)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        for done in as_completed([pool.submit(judge, mutant) for mutant in mutants]):
            verdict = done.result()
            print(json.dumps(asdict(verdict), ensure_ascii=False), flush=True)
            yield verdict


def _judgement(tested: Tested) -> tuple[str, str]:
    if tested.failed:
        return "killed", ""
    if tested.unjudged or not tested.passed:
        return "error", tested.output
    return "survived", "all its tests pass"


def _tested(report: Path, status: int, output: str) -> Tested:
    """By pytest's own report: its exit status tells neither a failed test from a broken fixture nor from a skipped one.

    0 and 1 say that tests ran; with any other status there is nothing to judge by.
    """
    shown = "\n".join(output.splitlines()[-LINES_SHOWN:])
    if status not in (0, 1) or not report.exists():
        return Tested(0, 0, 1, shown)
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    unjudged = count["errors"] + count["skipped"]
    return Tested(count["tests"] - count["failures"] - unjudged, count["failures"], unjudged, shown)


def _environment(root: Path) -> Path:
    """A virtual environment in the copy that has the packages of ours, but not ours itself.

    A `.pth` file may name a folder, whose own `.pth` files then do not count: so the entry by which ours finds the
    project it was installed from does not reach the copy.
    """
    folder = root / ".venv"
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "copy.pth").write_text(f"{root}\n{sysconfig.get_path('purelib')}\n")
    return folder / "bin" / "python"


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    # Two texts of one length within one second look alike to Python's cache of compiled files.
    return {**kept, "CI": "true", "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    parser = argparse.ArgumentParser(description="Take chosen lines away and see the tests fail that are about them.")
    parser.add_argument("files", nargs="*", type=Path, help="files of mutants; all of tests/mutation without one")
    files = parser.parse_args().files or sorted(FOLDER.glob("*.toml"))
    try:
        mutants = load(files)
        if not mutants:
            raise BadMutant("there is no mutant to run")
    except BadMutant as error:
        print(f"mutation: {error}", file=sys.stderr)
        return 1
    return 0 if run(PROJECT, mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
