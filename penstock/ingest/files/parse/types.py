"""The types of value a field can have. One description serves three that must agree:

- the fast path asks for a byte pattern (`bare`, `quoted`): what it matches goes to COPY untouched;
- the slow path calls `read`, which gives the text to hand to Postgres or raises `InvalidValue` with the reason;
- SQL asks for the column type, and for `sql`, the expression that turns the staged text into the value.

A pattern may be narrower than `read` (the slow path decides then), never wider, and both leave the value to
the same SQL, so that a value cannot be read in two ways. Over 400 lines because the types share their patterns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property

from penstock import json_codec
from penstock.business_time import check_time
from penstock.errors import InvalidInput
from penstock.settings import earliest_day

BLANKS = " \t\r\n\v\f"

NEVER = rb"(?!)"
PLAIN_DELIMITERS = b",;|\t"
"""Characters that no `core` holds. Another delimiter, such as a colon, may be part of a bare value, a time say."""

_DAY = (
    rb"(?:(?:19|20)\d\d-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)"
    rb"|(?:0[13578]|1[02])-31)|(?:(?:19|20)(?:0[48]|[2468][048]|[13579][26])|2000)-02-29)"
)
_CLOCK = rb"(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,6})?)?"
_ZONE = rb"(?:Z|[+-](?:0\d|1[0-3]):?[0-5]\d)"

_DIGITS = re.compile(r"%([dm])([/.-])%([dm])\2%Y( %H:%M(:%S)?)?")
_NO_BLANK_BEHIND = rb"(?<![\x09-\x0d\x20])"
_WHOLE_FLOAT = re.compile(r"([0-9]+)\.0+")
_EMAIL = re.compile(r'[^@\s\x00"]{1,64}@[^@\s\x00".]+(?:\.[^@\s\x00".]+)+')
_INTEGER = re.compile(r"([+-]?)([0-9]{1,40})(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE][+-]?[0-9]{1,2})?")
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


class InvalidValue(ValueError):
    """A value that the field cannot have; the text says why, without repeating the value at length."""


class UnwantedValue(InvalidValue):
    """A value by which a record is none of those wanted, as a profile declares: no fault, the record is skipped."""


@dataclass(frozen=True)
class FieldType:
    """`core` is a pattern that holds neither quote, plain delimiter, backslash nor line end.

    No text may be matched by a pattern in two ways: a record of many such fields, tried in all of them, takes for ever.
    `exact` asks for a pattern of texts that are the value already; without it, `sql` may still turn them into it.
    """

    @property
    def sql_type(self) -> str:
        raise NotImplementedError

    @property
    def core(self) -> bytes:
        raise NotImplementedError

    @property
    def column_type(self) -> str:
        """The type for a table's column; staging may use a wider one."""
        return self.sql_type

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        return self.core if delimiter in PLAIN_DELIMITERS else NEVER

    def quoted(self, *, exact: bool = False) -> bytes:
        return b'"' + self.core + b'"'

    def read(self, text: str) -> str:
        raise NotImplementedError

    def sql(self, column: str) -> str:
        return column


@dataclass(frozen=True)
class Text(FieldType):
    """Any characters but NUL, without the blanks around it."""

    at_most: int = 2000

    @property
    def sql_type(self) -> str:
        return "text"

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        # no backslash: a lone \. ends COPY's input before Postgres 18. No blank at either end: never empty, never
        # to be trimmed.
        inner = rb'",\\\x00\r\n' if delimiter == b"," else rb'"\\\x00\r\n' + re.escape(delimiter)
        return rb"[^\x01-\x20" + inner + rb"][^" + inner + rb"]{0,%d}+" % (self.at_most - 1) + _NO_BLANK_BEHIND

    def quoted(self, *, exact: bool = False) -> bytes:
        # the first quote in the text decides between the two, so that no text is tried in both ways
        end = _NO_BLANK_BEHIND + rb'"(?!")'
        plain = rb'[^\x00-\x20"\\][^"\\\x00\r\n]{0,%d}+' % (self.at_most - 1) + end
        with_quotes = rb'(?:[^\x00-\x20"\\]|"")(?:[^"\\\x00\r\n]|""){0,%d}+' % (self.at_most - 1) + end
        return rb'"(?:' + plain + rb'|(?=[^"\\\x00\r\n]*+"")' + with_quotes + rb")"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if len(text) > self.at_most:
            raise InvalidValue(f"longer than {self.at_most} characters")
        if "\x00" in text:
            raise InvalidValue("has a NUL character, which Postgres cannot store")
        return text


@dataclass(frozen=True)
class Identifier(Text):
    """Text that names something. A number that a spreadsheet made a float (`17850.0`) is read as `17850`."""

    at_most: int = 200
    unwanted: tuple[str, str] | None = None  # first characters that make a record unwanted, and the reason

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        return self._guard(b"", exact) + super().bare(delimiter, exact=exact)

    def quoted(self, *, exact: bool = False) -> bytes:
        return self._guard(b'"', exact) + super().quoted(exact=exact)

    def _guard(self, quote: bytes, exact: bool) -> bytes:
        unwanted = b"(?!" + quote + b"[" + re.escape(self.unwanted[0].encode()) + b"])" if self.unwanted else b""
        return unwanted + b"(?!" + quote + (rb"\d++\.0)" if exact else rb"\d++\.00)")

    def read(self, text: str) -> str:
        text = super().read(text)
        if self.unwanted and text.startswith(tuple(self.unwanted[0])):
            raise UnwantedValue(self.unwanted[1])
        whole = _WHOLE_FLOAT.fullmatch(text)
        return whole[1] if whole else text

    def sql(self, column: str) -> str:
        return f"case when {column} like '%.0' then regexp_replace({column}, '^([0-9]+)\\.0$', '\\1') else {column} end"


@dataclass(frozen=True)
class Email(FieldType):
    """Something@somewhere.tld, without blanks."""

    at_most: int = 254

    @property
    def sql_type(self) -> str:
        return "text"

    @property
    def core(self) -> bytes:
        part = rb'[^@\x00-\x20\x7f-\xff\\",;|.]'
        return rb"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}+@(?:" + part + rb"{1,20}+\.){1,4}+" + part + rb"{2,20}+"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if len(text) > self.at_most or not _EMAIL.fullmatch(text):
            raise InvalidValue("not an e-mail address")
        return text


@dataclass(frozen=True)
class Integer(FieldType):
    """`unwanted` is the reason for which a record with less than `at_least` is skipped, not refused."""

    at_least: int = -(2**31)
    at_most: int = 2**31 - 1
    unwanted: str | None = None

    @property
    def sql_type(self) -> str:
        return "integer" if self.at_least >= -(2**31) and self.at_most < 2**31 else "bigint"

    @property
    def core(self) -> bytes:
        # one digit fewer than the bound has is always within it; the slow path checks the rest
        most = len(str(self.at_most)) - 1 if self.at_most > 0 else 0
        if self.at_least < 0:
            most = min(most, len(str(self.at_least)) - 2)
            return rb"-?\d{1,%d}+" % most if most else NEVER
        least = len(str(self.at_least)) if self.at_least > 1 else self.at_least
        if most <= least:
            return NEVER
        return rb"[1-9]\d{%d,%d}+" % (least if least > 1 else 0, most - 1) if least else rb"\d{1,%d}+" % most

    def read(self, text: str) -> str:
        match = _INTEGER.fullmatch(text.strip(BLANKS))
        if not match:
            raise InvalidValue("not a whole number")
        number = int(match[1] + match[2])
        if number < self.at_least:
            raise UnwantedValue(self.unwanted) if self.unwanted else InvalidValue(f"less than {self.at_least}")
        if number > self.at_most:
            raise InvalidValue(f"more than {self.at_most}")
        return str(number)


@dataclass(frozen=True)
class Number(FieldType):
    """An exact decimal with at most `digits` before and `places` after the point.

    `unwanted` is the reason for which a record with a number too small is skipped, not refused.
    """

    digits: int = 12
    places: int = 6
    positive: bool = False
    signed: bool = False
    comma: bool = False  # the comma is the decimal sign, the point groups thousands
    unwanted: str | None = None

    @property
    def sql_type(self) -> str:
        return "numeric"

    @property
    def column_type(self) -> str:
        return f"numeric({self.digits + self.places},{self.places})"

    @property
    def core(self) -> bytes:
        if self.comma:
            return NEVER  # never matches: these values are rewritten, so the slow path takes them
        sign = rb"-?" if self.signed else rb""
        above_zero = rb"(?=[0.]*+[1-9])" if self.positive else rb""
        places = rb"(?:\.\d{1,%d}+)?+" % self.places if self.places else rb""
        return above_zero + sign + rb"\d{1,%d}+" % self.digits + places

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        number = self._parse(self._with_point(text) if self.comma else text)
        if self.positive and number <= 0:
            raise UnwantedValue(self.unwanted) if self.unwanted else InvalidValue("not more than 0")
        if number < 0 and not self.signed:
            raise UnwantedValue(self.unwanted) if self.unwanted else InvalidValue("less than 0")
        if abs(number) >= 10**self.digits:
            raise InvalidValue(f"more than {self.digits} digits before the point")
        # zeros written in the file stay, as in the fast path: 2.50 is not 2.5 for those who compare texts
        return format(number, "f")

    def _parse(self, text: str) -> Decimal:
        if not _NUMBER.fullmatch(text):
            raise InvalidValue("not a number")
        number = Decimal(text)
        sign, digits, exponent = number.as_tuple()
        surplus = -int(exponent) - self.places
        if surplus <= 0:
            return number
        if any(digits[-surplus:]):
            raise InvalidValue(f"more than {self.places} decimal places")
        return Decimal((sign, digits[:-surplus] or (0,), -self.places))

    @staticmethod
    def _with_point(text: str) -> str:
        if "." in text and not re.fullmatch(r"[+-]?[0-9]{1,3}(?:\.[0-9]{3})+(?:,[0-9]*)?", text):
            raise InvalidValue("not a number with a decimal comma")
        return text.replace(".", "").replace(",", ".")


@dataclass(frozen=True)
class Choice(FieldType):
    values: tuple[str, ...]

    @property
    def sql_type(self) -> str:
        return "text"

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.values)

    @property
    def core(self) -> bytes:
        plain = [value.encode() for value in self.values if not re.search(r'[,;|\t"\\\r\n]', value)]
        return b"(?:" + b"|".join(map(re.escape, plain)) + b")" if plain else NEVER

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if text not in self._known:
            raise InvalidValue("none of " + ", ".join(self.values[:12]))
        return text


@dataclass(frozen=True)
class Code(FieldType):
    """A fixed number of capital letters, such as a currency."""

    letters: int = 3

    @property
    def sql_type(self) -> str:
        return "text"

    @property
    def core(self) -> bytes:
        return rb"[A-Z]{%d}" % self.letters

    def read(self, text: str) -> str:
        text = text.strip(BLANKS).upper()
        if not re.fullmatch(rf"[A-Z]{{{self.letters}}}", text):
            raise InvalidValue(f"not {self.letters} letters")
        return text


@dataclass(frozen=True)
class Timestamp(FieldType):
    """A time. Without a zone it is read in PENSTOCK_TIMEZONE, always by Postgres, never here.

    `format` is a strptime pattern for files that do not write ISO 8601. With `date_style` (DMY or MDY) COPY reads such
    times in digits itself, as its session says; without it the slow path rewrites them.

    `of_event`: only a time that an event can have. The fast path then leaves the border's days to the slow one.
    """

    format: str | None = None
    date_style: str | None = None
    of_event: bool = False

    @property
    def sql_type(self) -> str:
        return "timestamptz"

    @property
    def own_date_style(self) -> str | None:
        """The order of day and month that would let COPY read this format."""
        match = _DIGITS.fullmatch(self.format or "")
        return f"{match[1]}{match[3]}Y".upper() if match and match[1] != match[3] else None

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
        if self.format:
            return self._declared(text)
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
        assert self.format is not None
        try:
            moment = datetime.strptime(text, self.format)  # noqa: DTZ007  Postgres applies the zone
        except ValueError as error:
            raise InvalidValue(f"not a time written as {self.format}") from error
        if not 1 <= moment.year <= 9999:
            raise InvalidValue("no such year")
        self._check(moment)
        return moment.isoformat(" ")

    def _check(self, moment: datetime) -> None:
        if not self.of_event:
            return
        try:
            check_time(moment)
        except (ValueError, OverflowError) as error:
            raise InvalidValue(str(error)) from error


@dataclass(frozen=True)
class Boolean(FieldType):
    @property
    def sql_type(self) -> str:
        return "boolean"

    @property
    def core(self) -> bytes:
        return b"(?:true|false|t|f|yes|no|1|0)"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS).lower()
        if text in {"true", "t", "yes", "y", "1", "on"}:
            return "true"
        if text in {"false", "f", "no", "n", "0", "off"}:
            return "false"
        raise InvalidValue("neither true nor false")


@dataclass(frozen=True)
class Json(FieldType):
    """A JSON object. Always read by the slow path: bytes alone do not show whether jsonb will take it."""

    at_most: int = 1 << 20

    @property
    def sql_type(self) -> str:
        return "jsonb"

    @property
    def core(self) -> bytes:
        return NEVER

    def read(self, text: str) -> str:
        try:
            value = json_codec.loads(text, field="value")
        except InvalidInput as error:
            raise InvalidValue(str(error).removeprefix("value: ")) from error
        if not isinstance(value, dict):
            raise InvalidValue("not a JSON object")
        return text.strip(BLANKS)
