"""The three steps of the daily ETL, for days that are asked for and for those that are due.

A step takes and returns a batch's id, days and counts, never rows: the rows stay in `staging` under the id. A step that
runs again with the same batch ends the same, and figures are put in place by date, so a retried or repeated run changes
nothing but `computed_at`.

Due are yesterday with the `etl_overlap_days` before it, every day since the first order that was never computed, and
the days in `ops.due_days`: any change of a day's orders marks it there. They are computed a portion at a time, the
newest first, so that no number of days is too many.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final, TypedDict
from uuid import UUID

from penstock.errors import InvalidInput, Unavailable
from penstock.event_store import uuid7
from penstock.postgres.pool import transaction
from penstock.projections import advance
from penstock.settings import Settings

DAILY_REQUESTED: Final = "etl/daily.requested"
"""The event that asks for a run of the daily ETL."""

# What the figures are made of; brought up to date before orders are extracted.
_SOURCES: Final = ("orders", "products")
_CATCH_UP_SECONDS: Final = 120.0

# So many days a batch: about three years of rows in staging at once, and a few seconds a step.
PORTION: Final = 1_000

_EXTRACT_DUE = """
select d.orders, d.days, d.from_day, d.to_day, d.more
from shop.extract_due(%s::uuid, %s::date, %s::integer, %s::boolean, %s::date, %s::integer) as d
"""


class Portion(TypedDict):
    """An extracted batch. `more`: days before `from_day` are due, too. Without any day both ends are None."""

    batch_id: str
    orders: int
    days: int
    from_day: date | None
    to_day: date | None
    more: bool


class Days(TypedDict):
    days: int


def extract(settings: Settings, from_day: date, to_day: date, *, batch_id: UUID | str | None = None) -> Portion:
    """Catch up the projections, then materialise the days' orders in staging under a batch's id.

    Give `batch_id` (any UUID) to make a retry the same batch. Days include both ends.
    """
    if from_day > to_day:
        raise InvalidInput(f"{from_day} is after {to_day}", field="from")
    _catch_up(settings)
    batch = str(batch_id or uuid7())
    (orders,) = _call(settings, "select shop.extract_daily(%s::uuid, %s, %s)", batch, from_day, to_day)
    days = (to_day - from_day).days + 1
    return Portion(batch_id=batch, orders=orders, days=days, from_day=from_day, to_day=to_day, more=False)


def extract_due(
    settings: Settings,
    today: date,
    *,
    marked_only: bool = False,
    before: date | None = None,
    batch_id: UUID | str | None = None,
) -> Portion:
    """The same for the newest days that are due before `today`, and before `before`: at most `PORTION` of them.

    `marked_only` leaves out those that are due without having changed.
    """
    _catch_up(settings)
    batch = str(batch_id or uuid7())
    found = _call(settings, _EXTRACT_DUE, batch, today, settings.etl_overlap_days, marked_only, before, PORTION)
    orders, days, from_day, to_day, more = found
    return Portion(batch_id=batch, orders=orders, days=days, from_day=from_day, to_day=to_day, more=more)


def transform(settings: Settings, batch_id: UUID | str) -> Days:
    """Compute the figures of each day of the batch, beside it in staging. `NotFound` if it was not extracted."""
    (days,) = _call(settings, "select shop.transform_daily(%s::uuid)", str(batch_id))
    return {"days": days}


def load(settings: Settings, batch_id: UUID | str) -> Days:
    """Put the batch's figures into `daily_analytics`, by date. `NotFound` if it was not transformed.

    A day that has changed since it was extracted stays marked.
    """
    (days,) = _call(settings, "select shop.load_daily(%s::uuid)", str(batch_id))
    return {"days": days}


def run_range(settings: Settings, from_day: date, to_day: date) -> Days:
    """All three steps for the days from `from_day` to `to_day`, both included."""
    return _finish(settings, extract(settings, from_day, to_day))


def run_due(settings: Settings, today: date, *, marked_only: bool = False) -> Iterator[Portion]:
    """All three steps for every day that is due on `today`, yielding each portion when it is loaded."""
    before = None
    while True:
        portion = extract_due(settings, today, marked_only=marked_only, before=before)
        _finish(settings, portion)
        yield portion
        if not portion["more"]:
            return
        before = portion["from_day"]


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
