"""The way of an append to the outside: notify → debounce → read the outbox → `send`, which alone is not of the core.

One `Relay` serves a process. Who appends calls `notify`, which never waits, or `run_now` where the host freezes the
process after its answer; the sweep and the command line call `once`.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime

from penstock.pipelines import runs
from penstock.relay import outbox
from penstock.relay.debouncer import Debouncer
from penstock.relay.outbox import OutgoingEvent, Projected, Relayed, Send
from penstock.relay.recently_published import RecentlyPublished
from penstock.settings import Settings


class Relay:
    """Publishes with `send` what was appended; to the listeners of `listened_types` event by event.

    `projected`, the types of each projection, says which of them have something to do.
    """

    def __init__(
        self,
        settings: Callable[[], Settings],
        send: Send,
        listened_types: Callable[[], Collection[str]],
        projected: Callable[[], Projected],
        published: RecentlyPublished,
    ) -> None:
        self.settings = settings
        self.send = send
        self.listened_types = listened_types
        self.projected = projected
        self.published = published
        self._debouncer = Debouncer(self._turn, lambda: self.settings().relay_interval_ms / 1000)

    def notify(self) -> None:
        """Say that events were appended: a thread relays soon, at most every `relay_interval_ms`. Never raises."""
        self._debouncer.notify()

    def run_now(self) -> None:
        """The same in this thread, for hosts that freeze the process after the answer: call it as a background task."""
        self._debouncer.run_now()

    def once(self, *, seconds: float = 20.0) -> Relayed:
        """Publish all events that were not published yet, or that may have been forgotten, for about `seconds`."""
        began = datetime.now(UTC)
        if (position := self.published.again) is not None:
            outbox.go_back(self.settings(), position)
            self.published.went_back(position)
        names, projected = self.listened_types(), self.projected()
        relayed = outbox.relay(self.settings(), self._publish, names, projected, seconds=seconds)
        rows = max(relayed.events, relayed.sent)  # the past of a type that is new to the listeners counts as well
        runs.record_wake(self.settings(), "relay_events", began, rows, {"position": relayed.position})
        return relayed

    def _turn(self) -> None:
        if not self.once().caught_up:
            self.notify()

    def _publish(self, events: Sequence[OutgoingEvent]) -> None:
        self.send(events)
        firsts = [event.data["from"] if "from" in event.data else event.data["position"] for event in events]
        self.published.note(min(firsts) - 1)
