"""Advance projections: from the checkpoint to the high-water mark, rows and checkpoint in one transaction.

An event that a projection cannot read does not stop it. The range is halved until a single event is left; then it
becomes a dead letter (kind `event`, source = the projection, reference = its position), and the checkpoint goes on.

A projection is behind only if an event of its types is beyond its checkpoint: nobody has it advance for any other.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from penstock.errors import WaitTimedOut
from penstock.event_store import high_water_mark, lock_checkpoint, move_checkpoint, pass_over, read_checkpoint
from penstock.postgres.pool import Connection, connection, transaction
from penstock.projections.folding import Unreadable, fold_range, prepare
from penstock.projections.projection import Projection, find_projection, projections
from penstock.settings import Settings

BATCH_SIZE: Final = 20_000
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Advanced:
    """How far a projection is. `events` counts those of its types that this call dealt with, parked ones included."""

    position: int
    events: int
    caught_up: bool


def advance(settings: Settings, name: str, *, seconds: float = 20.0) -> Advanced:
    """Apply what is new to one projection until it has caught up or `seconds` are over.

    Safe to call at any time and twice at once: the checkpoint is locked, and each event is applied exactly once.
    """
    projection = find_projection(name)
    deadline = time.monotonic() + seconds
    batch_size, events = BATCH_SIZE, 0
    while True:
        step = _step(settings, projection, batch_size)
        events += step.events
        if step.caught_up or time.monotonic() >= deadline:
            return Advanced(step.position, events, step.caught_up)
        batch_size = step.next_batch_size


def advance_all(settings: Settings, *, seconds: float = 20.0) -> Mapping[str, Advanced]:
    """Advance every projection, one after the other; `seconds` is for each."""
    return {name: advance(settings, name, seconds=seconds) for name in projections()}


def find_behind(settings: Settings) -> list[str]:
    """The projections that have something to do, by name; the others' checkpoints are moved over what is not theirs."""
    return [name for name, projection in projections().items() if _is_behind(settings, projection)]


def _is_behind(settings: Settings, projection: Projection) -> bool:
    with connection(settings) as borrowed:
        position, safe = read_checkpoint(borrowed, projection.name), high_water_mark(borrowed)
        if position >= safe:
            return False
        if _has_events(borrowed, projection, position, safe):
            return True
        pass_over(borrowed, projection.name, position, safe)
        return False


def _has_nothing_to_do(connection: Connection, projection: Projection, after: int, upto: int) -> bool:
    return high_water_mark(connection) >= upto and not _has_events(connection, projection, after, upto)


def _has_events(connection: Connection, projection: Projection, after: int, upto: int) -> bool:
    """Whether events of its types are in the range, which must not reach beyond the high-water mark."""
    span = {"after": after, "upto": upto, "event_types": list(projection.event_types)}
    # planned for these very types: of rare ones no event may be near
    return connection.execute(_HAS_EVENTS, span, prepare=False).fetchone() == (True,)


_HAS_EVENTS: Final = """
select exists (
  select from public.event_store as e
  where e.position > %(after)s and e.position <= %(upto)s and e.event_type = any(%(event_types)s)
)
"""


def wait_for(settings: Settings, name: str, position: int, *, seconds: float) -> None:
    """Return once the projection has dealt with what it folds up to `position`; else raise `WaitTimedOut`."""
    projection = find_projection(name)
    deadline = time.monotonic() + seconds
    pause = POLL_SECONDS
    while True:
        with connection(settings) as borrowed:
            present = read_checkpoint(borrowed, name)
            if present >= position or _has_nothing_to_do(borrowed, projection, present, position):
                return
        if time.monotonic() + pause > deadline:
            raise WaitTimedOut(
                f"{name} is at position {present}, not yet at {position}",
                retry_after=1,
                projection=name,
                position=present,
                wanted=position,
            )
        time.sleep(pause)
        pause = min(pause * 1.5, 0.25)


@dataclass(frozen=True)
class _Step:
    position: int
    events: int
    caught_up: bool
    next_batch_size: int


def _step(settings: Settings, projection: Projection, batch_size: int) -> _Step:
    with connection(settings) as borrowed:
        position, safe = read_checkpoint(borrowed, projection.name), high_water_mark(borrowed)
    if position >= safe:
        return _Step(position, 0, caught_up=True, next_batch_size=batch_size)
    try:
        with transaction(settings) as locked:
            return _apply_next(locked, projection, batch_size)
    except Unreadable:
        return _Step(position, 0, caught_up=False, next_batch_size=max(1, batch_size // 2))


def _apply_next(connection: Connection, projection: Projection, batch_size: int) -> _Step:
    after = lock_checkpoint(connection, projection.name)
    # In a statement of its own, before the one that reads rows: only then are all up to it visible to that one.
    safe = high_water_mark(connection)
    upto = min(safe, after + batch_size)
    if upto <= after:
        return _Step(after, 0, caught_up=True, next_batch_size=batch_size)
    prepare(connection, projection)
    events = fold_range(connection, projection, after, upto).events
    move_checkpoint(connection, projection.name, upto)
    return _Step(upto, events, caught_up=upto == safe, next_batch_size=min(BATCH_SIZE, batch_size * 2))
