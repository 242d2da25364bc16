"""The three steps of the daily ETL, for days that are asked for and for those that are due.

A step takes and returns a batch's id, days and counts, never rows: the rows stay in `staging` under the id. A step that
runs again with the same batch ends the same, and figures are put in place by day and currency, so a retried or repeated
run changes nothing but `computed_at`.

Due are yesterday with the `etl_overlap_days` before it, every day since the first order that was never computed, and
the days in `ops.due_days`: any change of a day's orders, refunds or registrations marks it there. A run asks for them
once and computes them a portion at a time, the newest first, so that no number of days is too many. What becomes due
meanwhile is for the next.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final, TypedDict
from uuid import UUID

from penstock.errors import InvalidInput, Unavailable
from penstock.event_store import uuid7
from penstock.postgres.pool import transaction
from penstock.projections import advance
from penstock.settings import Settings

DAILY_REQUESTED: Final = "etl/daily.requested"
"""The event that asks for a run of the daily ETL."""

# What the figures are made of; brought up to date after the marks are taken and before anything is extracted.
_SOURCES: Final = ("orders", "refunds", "customers", "products")
_CATCH_UP_SECONDS: Final = 120.0

# So many days a batch: about three years of rows in staging at once, and a few seconds a step.
PORTION: Final = 1_000

_DUE: Final = "select shop.find_due_days(%s::date, %s::integer, %s::boolean)"

# What one call may ask for: a hundred years.
MAX_DAYS: Final = 36_600


class Portion(TypedDict):
    """An extracted batch. Without any day both ends are None."""

    batch_id: str
    orders: int
    days: int
    from_day: date | None
    to_day: date | None


class Days(TypedDict):
    days: int


def days_between(from_day: date, to_day: date) -> list[date]:
    """The days from one to another, both included. Raises `InvalidInput` if they are in the wrong order or too many."""
    if from_day > to_day:
        raise InvalidInput(f"{from_day} is after {to_day}", field="from")
    number = (to_day - from_day).days + 1
    if number > MAX_DAYS:
        raise InvalidInput(f"{from_day} to {to_day} is more than {MAX_DAYS:,} days", field="from")
    return [from_day + timedelta(days=passed) for passed in range(number)]


def find_due(settings: Settings, today: date, *, marked_only: bool = False) -> list[list[date]]:
    """The days that are due before `today`, the newest first, at most `PORTION` in each batch; at least one batch.

    `marked_only` leaves out those that are due without having changed.
    """
    _catch_up(settings)
    with transaction(settings) as connection:
        found = connection.execute(_DUE, (today, settings.etl_overlap_days, marked_only)).fetchall()
    days = [day for (day,) in found]
    return [days[start : start + PORTION] for start in range(0, len(days), PORTION)] or [[]]


def extract(settings: Settings, days: Sequence[date], *, batch_id: UUID | str | None = None) -> Portion:
    """Take the days' marks, catch up the projections, then materialise what the days consist of under a batch's id.

    Give `batch_id` (any UUID) to make a retry the same batch.
    """
    batch = str(batch_id or uuid7())
    _call(settings, "select shop.open_daily_batch(%s::uuid, %s::date[])", batch, list(days))
    _catch_up(settings)
    (orders,) = _call(settings, "select shop.extract_daily(%s::uuid)", batch)
    ends = (min(days, default=None), max(days, default=None))
    return Portion(batch_id=batch, orders=orders, days=len(days), from_day=ends[0], to_day=ends[1])


def transform(settings: Settings, batch_id: UUID | str) -> Days:
    """Compute the figures of each day of the batch, beside it in staging. `NotFound` if it was not extracted."""
    (days,) = _call(settings, "select shop.transform_daily(%s::uuid)", str(batch_id))
    return {"days": days}


def load(settings: Settings, batch_id: UUID | str) -> Days:
    """Put the batch's figures into `daily_analytics`, by day and currency. `NotFound` if it was not transformed.

    A day that has changed since it was extracted stays marked.
    """
    (days,) = _call(settings, "select shop.load_daily(%s::uuid)", str(batch_id))
    return {"days": days}


def run_range(settings: Settings, from_day: date, to_day: date) -> Days:
    """All three steps for the days from `from_day` to `to_day`, both included."""
    return _finish(settings, extract(settings, days_between(from_day, to_day)))


def run_due(settings: Settings, today: date, *, marked_only: bool = False) -> Iterator[Portion]:
    """All three steps for every day that is due on `today`, yielding each portion when it is loaded."""
    for days in find_due(settings, today, marked_only=marked_only):
        portion = extract(settings, days)
        _finish(settings, portion)
        yield portion


def _finish(settings: Settings, portion: Portion) -> Days:
    transform(settings, portion["batch_id"])
    return load(settings, portion["batch_id"])


def _catch_up(settings: Settings) -> None:
    for name in _SOURCES:
        if not advance(settings, name, seconds=_CATCH_UP_SECONDS).caught_up:
            raise Unavailable(f"the projection {name} has not caught up yet", retry_after=30)


def _call(settings: Settings, query: str, *arguments: object) -> tuple[Any, ...]:
    with transaction(settings) as connection:
        row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return row
