"""How far an import is: one line that moves on a terminal, a line every two seconds elsewhere. Always on stderr.

The bar is the file by its bytes: full marks are lines with a decision, the middle ones lines that are read and wait
for theirs.
"""

import shutil
import sys
import threading
import time
from types import TracebackType
from typing import BinaryIO
from uuid import UUID

import psycopg

from penstock.cli.session import say
from penstock.errors import PenstockError
from penstock.ingest import files
from penstock.ingest.files import Import
from penstock.settings import Settings

SECONDS_BETWEEN_NEWS = 2.0
SECONDS_BETWEEN_FRAMES = 0.2
BAR = 30
_UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "KB"))


class Progress:
    """Shows an import from a thread of its own, while this one works: see `storing` and `follow`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._moves = sys.stderr.isatty()
        self._seconds = SECONDS_BETWEEN_FRAMES if self._moves else SECONDS_BETWEEN_NEWS
        self._shown_at = time.monotonic()
        self._line_is_open = False
        self._ended = threading.Event()
        self._followed: UUID | None = None
        self._thread: threading.Thread | None = None

    def storing(self, file: BinaryIO, size: int, doing: str = "storing") -> "_Counted":
        """The file, for being read through: shows how much of it is."""
        return _Counted(file, size, self, doing)

    def follow(self, import_id: UUID) -> None:
        """Show this import from now on."""
        self._followed = import_id
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, daemon=True)
            self._thread.start()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        if self._thread:
            self._thread.join(5)
        self._end_line()

    def note(self, line: str) -> None:
        """Say something beside the bar."""
        self._end_line()
        say(line)

    def show(self, line: str, *, at_once: bool = False) -> None:
        if not at_once and time.monotonic() - self._shown_at < self._seconds:
            return
        self._shown_at = time.monotonic()
        if self._moves:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{line[:width]}", end="", file=sys.stderr, flush=True)
            self._line_is_open = True
        else:
            say(line)

    def _end_line(self) -> None:
        if self._line_is_open:
            print(file=sys.stderr)
        self._line_is_open = False

    def _follow(self) -> None:
        while not self._ended.wait(self._seconds):
            self._show_import()
        if self._moves:
            self._show_import()

    def _show_import(self) -> None:
        assert self._followed is not None, "the thread begins with the first import"
        try:
            self.show(news(files.import_status(self._settings, self._followed)), at_once=True)
        except (PenstockError, psycopg.Error):
            return  # the next frame may succeed; if the import itself fails, its own error is shown


class _Counted:
    """A file that reports how much of it has been read."""

    def __init__(self, file: BinaryIO, size: int, progress: Progress, doing: str) -> None:
        self._file = file
        self._size = size
        self._progress = progress
        self._doing = doing
        self._read = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._read += len(data)
        self._progress.show(f"{_bar(self._read, 0, self._size)}  {self._doing} the file, {_of(self._read, self._size)}")
        return data


def news(imported: Import) -> str:
    """One line: the bar, bytes, lines."""
    read = min(imported.source_bytes, imported.size_bytes)
    decided = read * (imported.rows_read - imported.pending) // max(imported.rows_read, 1)
    return (
        f"{_bar(decided, read, imported.size_bytes)}  {imported.state}, {_of(read, imported.size_bytes)},"
        f" {imported.rows_read:,} lines read, {imported.rows_read - imported.pending:,} done,"
        f" {imported.rejected + imported.held:,} rejected or held{_storing(imported)}"
    )


def _storing(imported: Import) -> str:
    """Lines become events part by part of the file."""
    if (storing := imported.storing) is None:
        return ""
    part = f", part {storing['part']} of {storing['parts']}" if storing["parts"] > 1 else ""
    return f"{part}, {storing['events']:,} events stored"


def _bar(done: int, reached: int, size: int) -> str:
    full = BAR * done // max(size, 1)
    half = max(BAR * reached // max(size, 1) - full, 0)
    marks = "█▒░" if (sys.stderr.encoding or "").lower().startswith("utf") else "#=."
    return f"{marks[0] * full}{marks[1] * half}{marks[2] * (BAR - full - half)} {done * 100 // max(size, 1):3}%"


def _of(part: int, size: int) -> str:
    unit, name = next((each for each in _UNITS if size >= each[0]), (1, "bytes"))
    digits = 0 if unit == 1 else 1
    return f"{part / unit:,.{digits}f} of {size / unit:,.{digits}f} {name}"
