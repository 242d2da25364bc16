"""What was published within the last minute, since a development server that dies forgets what it took."""

import threading
import time
from collections import deque
from typing import Final

REMEMBERED_SECONDS: Final = 60.0


class RecentlyPublished:
    """The positions that were published within a minute, and from which of them to publish again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lately: deque[tuple[float, int]] = deque()
        self._again: int | None = None

    def note(self, position: int) -> None:
        """Say that events after `position` have been taken."""
        now = time.monotonic()
        with self._lock:
            self._lately.append((now, position))
            while self._lately[0][0] < now - REMEMBERED_SECONDS:
                self._lately.popleft()

    def lose(self) -> None:
        """Say that the server may have forgotten what it took."""
        with self._lock:
            known = [position for _, position in self._lately]
            known += [] if self._again is None else [self._again]
            self._again = min(known, default=None)
            self._lately.clear()

    @property
    def again(self) -> int | None:
        return self._again

    def went_back(self, position: int) -> None:
        """Say that the relay publishes everything after `position` again."""
        with self._lock:
            if self._again == position:
                self._again = None
