"""The programs that `penstock up` runs beside itself: started, watched, and stopped in order.

Each has a log of its own, a session of its own (Ctrl-C reaches only us, so that we choose the order), and a
leash: it leaves when we do, also after `kill -9`.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

from penstock.local.server_user import LocalServerFailed

LARGEST_LOG = 10_000_000
LINES_SHOWN = 15
SECONDS_TO_STOP = 10
SECONDS_TO_DIE = 60


class Children:
    """Starts modules of Python as processes; `records` keeps their numbers for the next run."""

    def __init__(self, logs: Path, records: Path, folder: Path) -> None:
        self._logs = logs
        self._records = records
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # Inherited by no child: when we die, every reading end sees the end of the pipe.
        self._leash_in, self._leash_out = os.pipe()

    def start(self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        with self._open_log(name) as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "penstock.local.die_with_parent", str(self._leash_in), module, *arguments],
                cwd=self._folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self._leash_in],
                start_new_session=True,
            )
        self._records.write_text("".join(f"{child.pid}\n" for child in self._running.values()))

    def check(self) -> None:
        """Raise if one has ended by itself, with the last lines of its log."""
        for name, child in self._running.items():
            if child.poll() is not None:
                raise LocalServerFailed(
                    f"the {name} ended with status {child.returncode}; the end of {self.log(name)}:\n"
                    + _last_lines(self.log(name))
                )

    def stop(self) -> None:
        """Stop all, the youngest first: it may need the older ones to finish its work."""
        for name in reversed(list(self._running)):
            child = self._running.pop(name)
            child.terminate()
            try:
                child.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
        self._records.unlink(missing_ok=True)
        for end in (self._leash_in, self._leash_out):
            os.close(end)

    def log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    def _open_log(self, name: str) -> BinaryIO:
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self.log(name)
        if log.exists() and log.stat().st_size > LARGEST_LOG:
            log.replace(log.with_suffix(".log.1"))
        return log.open("ab")


def end_former(records: Path) -> None:
    """Wait for the children of a killed run, which are leaving, and end one that does not."""
    if not records.exists():
        return
    former = [child for pid in records.read_text().split() if (child := _leashed(int(pid)))]
    _, left = psutil.wait_procs(former, timeout=8)
    for child in left:
        child.kill()
    # A busy machine takes its time over it, and until then the child's port is taken.
    psutil.wait_procs(left, timeout=SECONDS_TO_DIE)
    records.unlink()


def _leashed(pid: int) -> psutil.Process | None:
    """The process, if it is one of ours: its number may be somebody else's by now."""
    try:
        process = psutil.Process(pid)
        return process if "penstock.local.die_with_parent" in process.cmdline() else None
    except psutil.Error:
        return None


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LINES_SHOWN:]
    return "\n".join(f"  {line}" for line in lines)
