"""What time means to the business: which times an event may have, and at which hour the nightly run begins.

Every entry asks `check_time`: HTTP, commands, webhooks, imports. Reading does not: what is stored is accepted.
In SQL the same window is `penstock.is_plausible_time`, whose earliest day `penstock migrate` writes.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from penstock.settings import business_timezone, earliest_day

NIGHT: Final = 2
AHEAD: Final = timedelta(days=1)


def check_time(value: datetime) -> datetime:
    """The time, or `ValueError` if no event can have it. One without a zone is taken for the business's."""
    zone = ZoneInfo(business_timezone())
    instant = value if value.tzinfo else value.replace(tzinfo=zone)
    earliest = earliest_day()
    if instant < datetime.combine(earliest, time(), zone):
        raise ValueError(f"{value.date()} is before {earliest}, the earliest day that an event may have")
    if instant > datetime.now(UTC) + AHEAD:
        raise ValueError(f"{value.date()} is more than a day in the future")
    return value


def nightly_hour(zone: str, years: Sequence[int] | None = None) -> int:
    """The first hour from 02:00 on that begins exactly once in each night of the years, by default the next six.

    Where clocks go forward at 02:00 that hour is missing one night a year, and a cron at 02:00 would not fire.
    """
    place = ZoneInfo(zone)
    this_year = datetime.now(UTC).year
    years = years or range(this_year, this_year + 6)
    first, end = date(years[0], 1, 1), date(years[-1] + 1, 1, 1)
    midnights = [datetime.combine(first + timedelta(days=n), time(), place) for n in range((end - first).days + 1)]
    changes = [day.date() for day, next_ in pairwise(midnights) if day.utcoffset() != next_.utcoffset()]
    return next(hour for hour in range(NIGHT, 24) if all(_comes_once(day, hour, place) for day in changes))


def _comes_once(day: date, hour: int, zone: ZoneInfo) -> bool:
    """Or the calendar skips the whole day: it has no night."""
    return _is_plain(day, hour, zone) or not _is_plain(day, 12, zone)


def _is_plain(day: date, hour: int, zone: ZoneInfo) -> bool:
    """Neither skipped nor repeated: for such times the two folds differ."""
    clock = datetime.combine(day, time(hour), zone)
    return clock.utcoffset() == clock.replace(fold=1).utcoffset()
