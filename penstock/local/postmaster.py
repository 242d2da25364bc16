"""Which processes of a Postgres data folder live, seen from outside.

A number in `postmaster.pid` proves nothing, since numbers are used again; a process named postgres that works
in the data folder does.
"""

import logging
import signal
from dataclasses import dataclass
from pathlib import Path

import psutil

from penstock.local.server_user import LocalServerFailed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Postmaster:
    """What a living server says of itself; `status` is starting, ready, stopping or standby."""

    pid: int
    port: int
    status: str


def living_postmaster(data: Path) -> Postmaster | None:
    """The server of this data folder (a resolved path), if one lives."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        pid, port = int(lines[0]), int(lines[3])
    except (FileNotFoundError, IndexError, ValueError):
        return None
    if not _works_in(pid, data):
        return None
    return Postmaster(pid, port, lines[7].strip() if len(lines) > 7 else "starting")


def processes(data: Path) -> list[psutil.Process]:
    """Every Postgres process of this cluster, postmaster and backends."""
    return [process for process in psutil.process_iter() if _works_in(process.pid, data)]


def _works_in(pid: int, data: Path) -> bool:
    try:
        process = psutil.Process(pid)
        is_dead = process.status() == psutil.STATUS_ZOMBIE
        return not is_dead and process.name().startswith("postgres") and process.cwd() == str(data)
    except psutil.Error:
        return False


def end_leftovers(data: Path) -> None:
    """Clear the way for a start: call it only when no postmaster lives.

    Backends of a killed postmaster hold its shared memory, and no server starts beside them. Most see their
    parent's death and leave; one that computes is ended.
    """
    _, left = psutil.wait_procs(processes(data), timeout=3)
    for how in (signal.SIGQUIT, signal.SIGKILL):
        for process in left:
            _send(process, how)
        _, left = psutil.wait_procs(left, timeout=5)
    if left:
        raise LocalServerFailed(f"processes of a killed Postgres stay: {[process.pid for process in left]}")
    (data / "postmaster.pid").unlink(missing_ok=True)


def _send(process: psutil.Process, how: signal.Signals) -> None:
    try:
        process.send_signal(how)
    except psutil.NoSuchProcess:
        logger.debug("process %s has left", process.pid)
