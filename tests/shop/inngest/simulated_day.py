"""A day of the shop with a clock of its own: crons fire, orders come, and what Inngest would bill is counted.

Plays Inngest's part of the call protocol against `/api/inngest`. An execution, as Inngest counts, is a run or a step.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from typing import Any

import inngest

from penstock.inngest import client
from penstock.local.inngest_messages import next_firing
from penstock.postgres import pool
from penstock.relay.outbox import OutgoingEvent
from penstock.settings import Settings
from tests.integration.inngest.inngest_calls import run

DAY = datetime(2010, 12, 1, tzinfo=UTC)
MINUTES_A_DAY = 24 * 60


@dataclass
class SimulatedInngest:
    """Runs what events and crons start, and counts each function's executions. An event that `loses` picks is lost."""

    settings: Settings
    loses: Callable[[OutgoingEvent], bool] = lambda event: False
    executions: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    _queue: list[OutgoingEvent] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def send(self, events: Sequence[OutgoingEvent]) -> None:
        """In place of the network; an id that comes again starts nothing."""
        new = [event for event in events if event.id not in self._seen]
        self._seen |= {event.id for event in new}
        self._queue += [event for event in new if not self.loses(event)]

    def work(self) -> None:
        """Run everything that was sent, and what that sends."""
        while self._queue:
            event = self._queue.pop(0)
            for function in client.registered:
                if any(fnmatch(event.name, name) for name in _events(function)):
                    self._run(function, {"name": event.name, "id": event.id, "data": event.data})

    def day(self, happenings: Sequence[tuple[datetime, Callable[[], object]]] = ()) -> None:
        """Everything that falls into `DAY`, in order of time: what happens, and every cron."""
        firings = [(at, lambda f=function, at=at: self._fire(f, at)) for function, at in _firings()]
        for _, happen in sorted([*happenings, *firings], key=lambda each: each[0]):
            happen()
            self.work()
            self.count_changes()

    def _fire(self, function: inngest.Function[Any], at: datetime) -> None:
        self._run(function, {"name": "inngest/scheduled.timer", "id": at.isoformat(), "ts": int(at.timestamp() * 1000)})

    def _run(self, function: inngest.Function[Any], event: dict[str, Any]) -> None:
        self.runs += 1
        outcome = run(function.local_id, event, run_id=f"01KAHV5T7M{self.runs:016}")
        assert outcome.status == 200, outcome.body
        self.executions[function.local_id] += 1 + len(outcome.steps)

    def count_changes(self) -> None:
        """Postgres counts changes up to ten seconds later; in the day that passes here there are minutes between."""
        with ExitStack() as borrowed:
            for _ in range(pool.pool(self.settings.database_url).get_stats()["pool_size"]):
                connection = borrowed.enter_context(pool.connection(self.settings))
                connection.execute("select pg_stat_force_next_flush()")


def _events(function: inngest.Function[Any]) -> list[str]:
    return [trigger.event for trigger in function._triggers if isinstance(trigger, inngest.TriggerEvent)]


def crons(function: inngest.Function[Any]) -> list[str]:
    return [trigger.cron for trigger in function._triggers if isinstance(trigger, inngest.TriggerCron)]


def started_by(function: inngest.Function[Any]) -> list[str]:
    return [*crons(function), *_events(function)]


def _firings() -> list[tuple[inngest.Function[Any], datetime]]:
    """Every firing from the beginning of the day, included, to its end."""
    found = []
    for function in client.registered:
        for cron in crons(function):
            at = next_firing(cron, DAY.timestamp() - 1)
            while at < (DAY + timedelta(days=1)).timestamp():
                found.append((function, datetime.fromtimestamp(at, UTC)))
                at = next_firing(cron, at)
    return found
