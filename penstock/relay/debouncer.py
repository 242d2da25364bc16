"""Coalesce many notifications into few runs of one piece of work.

However often `notify` is called, one run is made at a time, no two begin within `interval` seconds, and a call during a
run leads to one more: none is lost while the process lives. (What a dying process loses, the sweep finds.)
A run that failed is made again, after a pause of up to five seconds; only the first failure of a series is logged.
"""

import logging
import threading
import time
from collections.abc import Callable

from penstock.errors import PenstockError

log = logging.getLogger("penstock.relay")

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 5.0


class Debouncer:
    def __init__(self, work: Callable[[], object], interval: Callable[[], float]) -> None:
        self._work = work
        self._interval = interval
        self._lock = threading.Lock()
        self._wanted = False
        self._running = False
        self._not_before = 0.0
        self._pause = 0.0

    def notify(self) -> None:
        """Have the work done by a background thread; returns at once."""
        if self._want():
            threading.Thread(target=self._runs, args=(None,), name="penstock-relay", daemon=True).start()

    def run_now(self, *, seconds: float = 10.0) -> None:
        """Do the work in this thread, unless another is at it, which then does one more run.

        For hosts that freeze a process between requests, where a thread of its own would not get on. Goes on for as
        long as calls come in, but begins no run after `seconds`: the next call begins with what is still wanted then.
        """
        if self._want():
            self._runs(seconds)

    def _want(self) -> bool:
        """Note that a run is wanted; True if the caller has to see to it."""
        with self._lock:
            self._wanted = True
            started, self._running = not self._running, True
            return started

    def _runs(self, seconds: float | None) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._goes_on(deadline):
            time.sleep(max(0.0, self._not_before - time.monotonic()))
            with self._lock:
                self._wanted = False
            self._run()

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - logged, and tried again
            self._failed(error)
        else:
            self._pause = 0.0
        self._not_before = time.monotonic() + max(self._interval(), self._pause)

    def _failed(self, error: Exception) -> None:
        if not self._pause and isinstance(error, PenstockError):
            log.warning("the relay did not get through and tries again: %s", error)
        elif not self._pause:
            log.error("the relay failed and tries again", exc_info=error)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause or FIRST_PAUSE)
        with self._lock:
            self._wanted = True

    def _goes_on(self, deadline: float | None) -> bool:
        with self._lock:
            in_time = deadline is None or max(time.monotonic(), self._not_before) < deadline
            self._running = self._wanted and in_time
            return self._running
