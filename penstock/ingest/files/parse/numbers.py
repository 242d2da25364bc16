"""Whole numbers and exact decimals, these also as money is written: `$74.69`, `1.250,00`, `£3`, `(3.00)`.

What a mark means depends on the decimal sign alone. Where nobody has said it, `1,250` may be 1250 or 1.25 and is
refused; `1,250.00` and `1,250,000` can be read in one way only. A blank groups nothing: it may be a lost separator.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

from penstock.ingest.files.parse.field_type import BLANKS, NEVER, FieldType, InvalidValue, UnwantedValue

_INTEGER = re.compile(r"([+-]?)([0-9]{1,40})(?:\.0+)?")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,60}(?:\.[0-9]{0,60})?|\.[0-9]{1,60})(?:[eE][+-]?[0-9]{1,2})?")
_CURRENCY = "[$\u00a2-\u00a5\u058f\u060b\u09f2\u09f3\u0e3f\u17db\u20a0-\u20cf\ufdfc]"
_CURRENCY_SIGN = re.compile(rf"\A{_CURRENCY}[ \u00a0\u202f]?|[ \u00a0\u202f]?{_CURRENCY}\Z")
_GROUPED = re.compile(
    r"[0-9]{1,3}(?P<mark>[.,'\u2019\u00a0\u202f])[0-9]{3}(?P<more>(?:(?P=mark)[0-9]{3})*)(?P<point>[.,][0-9]*)?"
)


@dataclass(frozen=True)
class Integer(FieldType):
    """`unwanted` is the reason for which a record with less than `at_least`, or with 0 that is none, is skipped."""

    at_least: int = -(2**31)
    at_most: int = 2**31 - 1
    unwanted: str | None = None
    zero: bool = True
    negative: str | None = None  # what a reject for a number below 0 says beside the reason

    @property
    def sql_type(self) -> str:
        return "integer" if self.at_least >= -(2**31) and self.at_most < 2**31 else "bigint"

    @property
    def core(self) -> bytes:
        # one digit fewer than the bound has is always within it; the slow path checks the rest
        most = len(str(self.at_most)) - 1 if self.at_most > 0 else 0
        if self.at_least < 0:
            most = min(most, len(str(self.at_least)) - 2)
            some = b"" if self.zero else rb"(?!-?0)"
            return some + rb"-?\d{1,%d}+" % most if most else NEVER
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
            helps = f": {self.negative}" if self.negative and number < 0 else ""
            raise UnwantedValue(self.unwanted) if self.unwanted else InvalidValue(f"less than {self.at_least}{helps}")
        if number > self.at_most:
            raise InvalidValue(f"more than {self.at_most}")
        if number == 0 and not self.zero:
            raise UnwantedValue(self.unwanted) if self.unwanted else InvalidValue("0")
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
    point: bool = False  # the caller says that the point is, so 1,250 is 1250
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
        number = self._parse(text if _NUMBER.fullmatch(text) and not self.comma else self._with_point(text))
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

    def _with_point(self, text: str) -> str:
        """Money as digits with a decimal point: without currency sign and groups, a minus for brackets."""
        in_brackets = text.startswith("(") and text.endswith(")")
        text = text[1:-1].strip(BLANKS) if in_brackets else text
        signs, text = _sign_of(text)
        text = _CURRENCY_SIGN.sub("", text, count=1)
        inner, text = _sign_of(text)
        if len(signs + inner) + in_brackets > 1:
            raise InvalidValue("not a number")
        return ("-" if in_brackets else signs + inner) + self._ungrouped(text)

    def _ungrouped(self, text: str) -> str:
        decimal = "," if self.comma else "."
        match = _GROUPED.fullmatch(text)
        if match and match["mark"] != decimal and (match["point"] or decimal).startswith(decimal):
            if match["mark"] == "," and not (self.point or match["more"] or match["point"]):
                raise InvalidValue("may be thousands or a decimal comma: say the decimal sign, decimal=. or decimal=,")
            text = text.replace(match["mark"], "")
        if not self.comma:
            return text
        if "." in text:
            raise InvalidValue("not a number with a decimal comma")
        return text.replace(",", ".")


def _sign_of(text: str) -> tuple[str, str]:
    return (text[0], text[1:]) if text[:1] in {"+", "-"} else ("", text)
