"""`penstock tail`: events as they are appended, a line each, until Ctrl-C."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Final

from penstock import event_store, json_codec
from penstock.cli.arguments import Commands, add_command, count, position
from penstock.cli.session import reachable_settings
from penstock.event_store import RecordedEvent
from penstock.postgres import pool
from penstock.settings import Settings

POLL_SECONDS: Final = 0.5
_AT_ONCE: Final = 100


def add_commands(commands: Commands) -> None:
    tail = add_command(commands, "tail", follow, "print new events as they come, a line each, until Ctrl-C")
    tail.add_argument("--type", action="append", metavar="EVENT_TYPE", help="only these; may be repeated")
    tail.add_argument("--after", type=position, metavar="POSITION", help="begin after this one; 0: with the first")
    tail.add_argument("--limit", type=count, metavar="N", help="end after so many")
    tail.add_argument("--json", action="store_true", help="a JSON object a line")


def follow(options: argparse.Namespace) -> None:
    """Print events in the order of the store, none twice and none left out."""
    left = options.limit
    for event in _events(reachable_settings(), options.after, options.type):
        if left == 0:
            return
        print(json_codec.dumps(asdict(event)) if options.json else _line(event), flush=True)
        left = None if left is None else left - 1
        if left == 0:
            return


def _events(settings: Settings, after: int | None, types: Sequence[str] | None) -> Iterator[RecordedEvent]:
    """Events after a position, or from now on; for ever."""
    while True:
        with pool.connection(settings) as connection:
            # before the page: all up to here is visible to it, so a short page says that nothing else is before it
            safe = event_store.high_water_mark(connection)
            start = safe if after is None else after
            page = event_store.read_events(connection, after=start, max_count=_AT_ONCE, event_types=types)
        yield from page
        is_full = len(page) == _AT_ONCE
        last = page[-1].position if page else start
        after = last if is_full else max(last, safe)
        if not is_full:
            time.sleep(POLL_SECONDS)


def _line(event: RecordedEvent) -> str:
    at = event.created_at.isoformat(timespec="milliseconds")
    stream = f"{_shown(event.aggregate_type)}/{_shown(event.aggregate_id)}"
    payload = json_codec.dumps(event.payload)
    return f"{event.position}  {at}  {stream}  v{event.version}  {_shown(event.event_type)}  {payload}"


def _shown(text: str) -> str:
    """What comes from outside must not move the cursor of a terminal."""
    return text if text.isprintable() else json_codec.dumps(text)
