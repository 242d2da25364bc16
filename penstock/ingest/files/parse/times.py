"""Times: the days that the fast path is sure of, and how each way of writing a time is read."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from penstock.business_time import check_time
from penstock.ingest.files.parse.field_type import BLANKS, NEVER, FieldType, InvalidValue
from penstock.settings import earliest_day

_DAY = (
    rb"(?:(?:19|20)\d\d-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rb"|(?:0[13578]|1[02])-31)|(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_ZONE = rb"(?:Z|[+-](?:0\d|1[0-3]):?[0-5]\d)"

_DIGITS = re.compile(r"%([dm])([/.-])%([dm])\2%Y( %H:%M(:%S)?)?")
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{0,20})?")
_MIDNIGHT = re.compile(r"([0-9-]{10}) 00:00:00(?:Z|[+-].*)?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SERIAL_ZERO = datetime(1899, 12, 30)  # noqa: DTZ001  a spreadsheet's times have no zone
_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6})0*)?)?)?"
    r"(Z|[+-](?:0[0-9]|1[0-3]):?[0-5][0-9])?"
)


def is_iso(text: str) -> bool:
    return bool(_TIME.fullmatch(text))


def _day_of(first: str, separator: bytes, *, before: int = 13) -> bytes:
    """Day and month in either order, with or without zeros, only those that every year has, up to month `before`."""
    pairs = (
        (rb"(?:0?[1-9]|1\d|2[0-8])", range(1, 13)),
        (rb"(?:29|30)", (1, *range(3, 13))),
        (rb"31", (1, 3, 5, 7, 8, 10, 12)),
    )
    months = [(day, _months([month for month in found if month < before])) for day, found in pairs]
    written = [(day, month) if first == "d" else (month, day) for day, month in months]
    return rb"(?:" + b"|".join(separator.join(pair) for pair in written) + rb")" + separator


def _months(numbers: Sequence[int]) -> bytes:
    return b"(?:" + b"|".join(b"%d" % month if month > 9 else b"0?%d" % month for month in numbers) + b")"


def _certain_years() -> list[bytes]:
    """Patterns of the years of which every day is one that an event can have, in any zone; one for each decade."""
    decades: dict[bytes, bytes] = {}
    for year in range(earliest_day().year + 1, datetime.now(UTC).year):
        text = b"%d" % year
        decades[text[:3]] = decades.get(text[:3], b"") + text[3:]
    return [decade + b"[" + last + b"]" for decade, last in decades.items()] or [NEVER]


def _certain_days() -> bytes:
    """A look at the day that follows: one of those years, or one of this year before yesterday."""
    last = datetime.now(UTC).date() - timedelta(days=1)
    text = last.isoformat().encode()
    earlier = [
        text[:place] + b"[0-%d]" % (int(text[place : place + 1]) - 1)
        for place in (5, 6, 8, 9)
        if text[place] > ord("0")
    ]
    return b"(?=" + b"|".join([*_certain_years(), *(earlier if last.year > earliest_day().year else [])]) + b")"


def _certain_days_of(first: str, separator: bytes) -> bytes:
    """The same where the year comes last: those years, or the months of this year before yesterday's."""
    ways = [_day_of(first, separator) + b"(?:" + b"|".join(_certain_years()) + b")"]
    last = datetime.now(UTC).date() - timedelta(days=1)
    if last.year > earliest_day().year and last.month > 1:
        ways.append(_day_of(first, separator, before=last.month) + b"%d" % last.year)
    return b"(?:" + b"|".join(ways) + b")"


@dataclass(frozen=True)
class Timestamp(FieldType):
    """A time. Without a zone it is read in PENSTOCK_TIMEZONE, always by Postgres, never here.

    `format` is a strptime pattern, or one of `WORDS`, for files that do not write ISO 8601; `others` are tried after
    it, in their order. With `date_style` (DMY or MDY) COPY reads such times in digits itself, as its session says;
    without it the slow path rewrites them.

    `of_event`: only a time that an event can have. The fast path then leaves the border's days to the slow one.
    """

    format: str | None = None
    date_style: str | None = None
    of_event: bool = False
    others: tuple[str, ...] = ()

    @property
    def sql_type(self) -> str:
        return "timestamptz"

    @property
    def own_date_style(self) -> str | None:
        """The order of day and month that would let COPY read this format."""
        match = _DIGITS.fullmatch(self.format or "")
        return f"{match[1]}{match[3]}Y".upper() if match and match[1] != match[3] and not self.others else None

    @property
    def core(self) -> bytes:
        if not self.format:
            return (_certain_days() if self.of_event else b"") + _DAY + rb"(?:[T ]" + _CLOCK + _ZONE + rb"?)?"
        match = _DIGITS.fullmatch(self.format)
        if not match or not self.date_style or self.own_date_style != self.date_style:
            return NEVER
        clock = rb" (?:[01]?\d|2[0-3]):[0-5]\d" if match[4] else b""
        seconds = rb":[0-5]\d" if match[5] else b""
        separator = re.escape(match[2].encode())
        if not self.of_event:
            return _day_of(match[1], separator) + rb"(?:19|20)\d\d" + clock + seconds
        return _certain_days_of(match[1], separator) + clock + seconds

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        return self._declared(text) if self.format else self._iso(text)

    def _iso(self, text: str) -> str:
        match = _TIME.fullmatch(text)
        if not match:
            raise InvalidValue("not a time such as 2010-12-01 08:26:00")
        year, month, day, hour, minute, second, fraction, zone = match.groups()
        if zone and hour is None:
            raise InvalidValue("a zone without a time of day")
        clock = (int(hour or 0), int(minute or 0), int(second or 0), int((fraction or "0").ljust(6, "0")))
        try:
            moment = datetime(int(year), int(month), int(day), *clock)  # noqa: DTZ001  Postgres applies the zone
        except ValueError as error:
            raise InvalidValue(f"no such time: {error}") from error
        text = moment.isoformat(" ") + (zone or "")
        self._check(datetime.fromisoformat(text))
        return text

    def _declared(self, text: str) -> str:
        """By the first of the formats that reads it."""
        formats = [self.format or "", *self.others]
        if "iso" in formats and is_iso(text):
            return self._iso(text)
        for format_ in formats:
            moment = _moment(text, format_)
            if moment is not None:
                self._check(moment)
                return moment.isoformat(" ")
        raise InvalidValue(f"not a time written as {' or '.join(formats)}")

    def _check(self, moment: datetime) -> None:
        if not self.of_event:
            return
        try:
            check_time(moment)
        except (ValueError, OverflowError) as error:
            raise InvalidValue(str(error)) from error


@dataclass(frozen=True)
class Day(Timestamp):
    """A day. A time of day is refused, but for midnight, which a spreadsheet or a database may write behind it."""

    @property
    def sql_type(self) -> str:
        return "date"

    @property
    def core(self) -> bytes:
        if not self.format:
            return _DAY
        match = _DIGITS.fullmatch(self.format)
        return NEVER if match and match[4] else super().core

    def read(self, text: str) -> str:
        match = _MIDNIGHT.fullmatch(super().read(text))
        if not match:
            raise InvalidValue("a time of day, not a day alone")
        return match[1]


def _moment(text: str, format_: str) -> datetime | None:
    """Without a zone where the text has none: Postgres applies it."""
    try:
        if format_ in NUMBERS:
            return NUMBERS[format_](Decimal(text)) if _PLAIN_NUMBER.fullmatch(text) else None
        return datetime.strptime(text, format_) if format_ != "iso" else None  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None


def _of_serial(days: Decimal) -> datetime | None:
    """A spreadsheet's day number, to the millisecond. Before March 1900 spreadsheets disagree on what it means."""
    if days < 61:
        return None
    return _SERIAL_ZERO + timedelta(milliseconds=round(days * 86_400_000))


def _of_epoch(seconds: Decimal) -> datetime:
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))


NUMBERS: Final[Mapping[str, Callable[[Decimal], datetime | None]]] = {
    "epoch": _of_epoch,
    "epoch_ms": lambda number: _of_epoch(number / 1000),
    "excel": _of_serial,
}
"""Times as numbers: seconds or milliseconds since 1970 in UTC, days of a spreadsheet."""
WORDS: Final = ("iso", *NUMBERS)
"""What a format may be beside a strptime pattern."""
