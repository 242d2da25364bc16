"""The nightly run begins each night, in every zone."""

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from importlib.resources import files
from pathlib import Path
from zoneinfo import TZPATH, ZoneInfo, available_timezones

import pytest

from penstock.business_time import nightly_hour

YEARS = range(1990, 2041)


def test_the_hour_begins_once_in_every_night_of_every_zone() -> None:
    """Judged by instants around each change of the clocks, not by the rule that chose the hour."""
    zones = _zones()
    assert len(zones) > 250
    for zone in zones:
        hour = nightly_hour(zone, YEARS)
        for night, times in _nights(ZoneInfo(zone), hour).items():
            assert times == 1, f"{zone} {night}: {hour}:00 comes {times} times"


@pytest.mark.parametrize(
    ("zone", "hour"),
    [("UTC", 2), ("Asia/Tokyo", 2), ("Europe/London", 2), ("Europe/Paris", 3), ("America/New_York", 3)],
)
def test_the_hour_is_two_where_it_can_be(zone: str, hour: int) -> None:
    assert nightly_hour(zone) == hour


def _zones() -> list[str]:
    """One of each group of zones that are the same: links have one content."""
    contents = {}
    for zone in sorted(available_timezones()):
        places = [path for root in TZPATH if (path := Path(root, zone)).is_file()]
        content = places[0].read_bytes() if places else files("tzdata.zoneinfo").joinpath(zone).read_bytes()
        contents[content] = zone
    return sorted(contents.values())


def _nights(zone: ZoneInfo, hour: int) -> Counter[date]:
    """How often the hour begins in each night near a change of the clocks that the calendar has."""
    found: Counter[date] = Counter()
    noon, end = datetime(YEARS[0], 1, 3, 12, tzinfo=UTC), datetime(YEARS[-1], 12, 28, tzinfo=UTC)
    week, day = timedelta(days=7), timedelta(days=1)
    while noon < end:
        if noon.astimezone(zone).utcoffset() != (noon + week).astimezone(zone).utcoffset():
            for place in (noon + number * day for number in range(7)):
                found |= _begun(zone, hour, place)
        noon += week
    return found


def _begun(zone: ZoneInfo, hour: int, noon: datetime) -> Counter[date]:
    """The instants at which the clocks show the hour: each offset in use around the day gives at most one."""
    offsets = {(noon + timedelta(hours=hours)).astimezone(zone).utcoffset() for hours in range(-48, 49, 24)}
    night = noon.astimezone(zone).date()
    begins = datetime.combine(night, time(hour), UTC)
    instants = [begins - offset for offset in offsets if offset is not None]
    return Counter({night: sum(at.astimezone(zone).replace(tzinfo=UTC) == begins for at in instants)})
