"""The three steps of the daily ETL, and which days are due.

A step takes and returns a batch's id, days and counts, never rows: the rows stay in `staging` under the id. A step that
runs again with the same batch ends the same, and figures are put in place by date, so a retried or repeated run changes
nothing but `computed_at`.
"""

from datetime import date, timedelta
from typing import Final, TypedDict
from uuid import UUID

from penstock.database import transaction
from penstock.errors import InvalidInput, Unavailable
from penstock.event_store import uuid7
from penstock.projections import advance
from penstock.settings import Settings

# What the figures are made of; brought up to date before orders are extracted.
_SOURCES: Final = ("orders", "products")
_CATCH_UP_SECONDS: Final = 120.0

_FIRST_DUE = """
with first as (
  select ops.business_day(min(o.placed_at)) as day from public.orders as o
)
select min(d.day)::date
from first
cross join lateral generate_series(first.day::timestamp, %(yesterday)s::timestamp, '1 day') as d (day)
left join public.daily_analytics as a on a.day = d.day::date
where a.day is null
"""


class Extracted(TypedDict):
    batch_id: str
    orders: int


class Days(TypedDict):
    days: int


def due_days(settings: Settings, today: date) -> tuple[date, date]:
    """The days, both included, that a run on `today` must compute.

    Up to yesterday: the last `etl_overlap_days` days before it again, for facts that came late, and every day since the
    first order that was never computed.
    """
    yesterday = today - timedelta(days=1)
    _catch_up(settings)
    with transaction(settings) as connection:
        row = connection.execute(_FIRST_DUE, {"yesterday": yesterday}).fetchone()
    overlap = yesterday - timedelta(days=settings.etl_overlap_days)
    missed = row[0] if row and row[0] else yesterday
    return min(overlap, missed), yesterday


def extract(settings: Settings, from_day: date, to_day: date, *, batch_id: UUID | str | None = None) -> Extracted:
    """Catch up the projections, then materialise the days' orders in staging under a batch's id.

    Give `batch_id` (any UUID) to make a retry the same batch. Days include both ends.
    """
    if from_day > to_day:
        raise InvalidInput(f"{from_day} is after {to_day}", field="from")
    _catch_up(settings)
    batch = str(batch_id or uuid7())
    orders = _call(settings, "select staging.extract_daily(%s::uuid, %s, %s)", batch, from_day, to_day)
    return {"batch_id": batch, "orders": orders}


def transform(settings: Settings, batch_id: UUID | str) -> Days:
    """Compute the figures of each day of the batch, beside it in staging. `NotFound` if it was not extracted."""
    return {"days": _call(settings, "select staging.transform_daily(%s::uuid)", str(batch_id))}


def load(settings: Settings, batch_id: UUID | str) -> Days:
    """Put the batch's figures into `daily_analytics`, by date. `NotFound` if it was not transformed."""
    return {"days": _call(settings, "select staging.load_daily(%s::uuid)", str(batch_id))}


def run_range(settings: Settings, from_day: date, to_day: date) -> Days:
    """All three steps for the days from `from_day` to `to_day`, both included."""
    batch_id = extract(settings, from_day, to_day)["batch_id"]
    transform(settings, batch_id)
    return load(settings, batch_id)


def _catch_up(settings: Settings) -> None:
    for name in _SOURCES:
        if not advance(settings, name, seconds=_CATCH_UP_SECONDS).caught_up:
            raise Unavailable(f"the projection {name} has not caught up yet", retry_after=30)


def _call(settings: Settings, query: str, *arguments: object) -> int:
    with transaction(settings) as connection:
        row = connection.execute(query.encode(), arguments).fetchone()
    assert row is not None
    return int(row[0])
