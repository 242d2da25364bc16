"""How long the real Inngest server takes, measured on its dev server: the stand-in is not quicker.

`STANDIN=fast` in the environment leaves the pauses out, for tests of what happens and not of when.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timing:
    """Each is a range in seconds, of which every event, batch or sleep gets a value of its own."""

    start: tuple[float, float]
    late_batch: tuple[float, float]
    early_sleep: tuple[float, float]

    def start_pause(self) -> float:
        """From an event, or the one that fills a batch, to the call of its function."""
        return random.uniform(*self.start)  # noqa: S311 - jitter

    def batch_pause(self) -> float:
        """How long after its timeout a batch that did not fill is called."""
        return random.uniform(*self.late_batch)  # noqa: S311

    def sleep_ahead(self) -> float:
        """How much too early a sleep ends."""
        return random.uniform(*self.early_sleep)  # noqa: S311


# Seen: 287 ms from event to function at the median, 1.87 s for a batch of 1 s, 0.31 s for a sleep of 0.4 s.
MEASURED = Timing(start=(0.15, 0.424), late_batch=(0.6, 1.14), early_sleep=(0.0, 0.09))
FAST = Timing(start=(0.0, 0.0), late_batch=(0.0, 0.0), early_sleep=(0.0, 0.0))


def timing_of(environment: Mapping[str, str]) -> Timing:
    return FAST if environment.get("STANDIN") == "fast" else MEASURED
