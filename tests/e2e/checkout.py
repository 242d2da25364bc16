"""A copy of the project to run `penstock up` in, and what is needed to watch it from outside."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[2]
CODE = ("app", "functions", "penstock", "shop", "supabase", "requirements")
PARTS = (*CODE, "pyproject.toml", "setup.py", "Makefile", "README.md")
READY_SECONDS = 4 * PATIENCE_SECONDS
STOP_SECONDS = 2 * PATIENCE_SECONDS

_started: "list[Up]" = []


def copy_project(target: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__", "node_modules", ".temp")
    target.mkdir()
    for part in PARTS:
        source = PROJECT / part
        if source.is_dir():
            shutil.copytree(source, target / part, ignore=ignore)
        else:
            shutil.copy2(source, target / part)
    return target


class Up:
    """One run of a command that starts everything, with its output in a file."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, str | int] | None = None,
        *,
        command: Sequence[str] = (sys.executable, "-m", "penstock.cli", "up"),
        user: int | None = None,
    ) -> None:
        self.folder = folder
        self.output = folder.parent / "up.out"
        wanted = {
            "PORT": free_port(),
            "INNGEST_DEV": f"http://127.0.0.1:{free_port()}",
            "STANDIN": "fast",
            **(settings or {}),
        }
        self.port, self.inngest = int(wanted["PORT"]), str(wanted["INNGEST_DEV"])
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=_clean(os.environ) | {name: str(value) for name, value in wanted.items()},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                extra_groups=None if user is None else [],
            )
        _started.append(self)

    @property
    def said(self) -> str:
        return self.output.read_text()

    def ready(self) -> "Up":
        wait_until(lambda: "Penstock is ready" in self.said or self.process.poll() is not None, READY_SECONDS)
        assert self.process.poll() is None, self.said
        return self

    def get(self, path: str) -> Any:
        answer = httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json() if "json" in answer.headers["content-type"] else answer.text

    def post(self, path: str, body: object) -> Any:
        answer = httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, timeout=PATIENCE_SECONDS, trust_env=False)
        assert answer.is_success, answer.text
        return answer.json()

    def signal(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        return self.process.wait(STOP_SECONDS)

    def stop_hard(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def stop_all() -> None:
    """End what a failed test left running: it would fail a later test, by a warning."""
    while _started:
        _started.pop().stop_hard()


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that run in this folder or on its data."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd().startswith(str(folder)):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def children_of(folder: Path) -> list[int]:
    return [int(pid) for pid in (folder / ".penstock" / "children").read_text().split()]


def wait_until(holds: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


def _clean(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would change where the program looks."""
    mine = ("DATABASE_URL", "SAMPLE", "PENSTOCK_", "INNGEST_", "PYTEST_", "TEST_")
    return {name: value for name, value in environment.items() if not name.startswith(mine)}
