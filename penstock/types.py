"""Types for what comes from outside: text that Postgres can store, money, times, names of things.

Money is a decimal with its digits as they came ("2.550" stays "2.550"), a JSON string in the store.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
)

from penstock import json_codec
from penstock.business_time import check_time
from penstock.errors import InvalidInput

_MONEY = re.compile(r"-?(\d{1,15})(\.\d{1,6})?", re.ASCII)
MAX_INTEGER: Final = 2**31 - 1


def _parse_money(value: object) -> object:
    return _parse_amount(value, 12)


def _parse_sum(value: object) -> object:
    return _parse_amount(value, 15)


def _parse_amount(value: object, digits: int) -> object:
    """Text or a JSON number; the codec has made sure that a number's shortest form is what was sent."""
    if isinstance(value, Decimal):
        value = format(value, "f")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        value = format(Decimal(repr(value)), "f")
    found = _MONEY.fullmatch(value) if isinstance(value, str) else None
    if not found or len(found[1]) > digits:
        raise ValueError(f'not an amount: up to {digits} digits and 6 decimal places, best as a string like "2.550"')
    return Decimal(found[0])


def _in_reach(value: datetime) -> datetime:
    if not 1900 <= value.year < 2200:
        raise ValueError("not from 1900 to 2199")
    return value.astimezone(UTC)


def storable(value: str) -> str:
    """For validators: the text, or `ValueError` if Postgres cannot store it."""
    try:
        json_codec.check_text(value, field="text")
    except InvalidInput as error:
        raise ValueError(str(error).removeprefix("text: ")) from error
    return value


def _show_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _time_text(value: object) -> object:
    """No bare numbers: pydantic would take them for seconds since 1970."""
    if not isinstance(value, str | datetime):
        raise ValueError('not a time as RFC 3339 writes it, like "2026-11-21T09:30:00Z"')
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d", value, re.ASCII):
        raise ValueError('not a time as RFC 3339 writes it, like "2026-11-21T09:30:00Z"')
    return value


Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(storable)]
Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(storable)]
Category = Annotated[str, StringConstraints(max_length=200), AfterValidator(storable)]
Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


def _amount_schema(digits: int) -> dict[str, Any]:
    return {
        "anyOf": [
            {"type": "string", "pattern": rf"^[0-9]{{1,{digits}}}(\.[0-9]{{1,6}})?$"},
            {"type": "number", "minimum": 0, "maximum": 10**digits - 1},
        ],
        "examples": ["2.550"],
    }


Money = Annotated[
    Decimal,
    BeforeValidator(_parse_money),
    Field(ge=0),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema(_amount_schema(12), mode="validation"),
]
MoneySum = Annotated[
    Decimal,
    BeforeValidator(_parse_sum),
    Field(ge=0),
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema(_amount_schema(15), mode="validation"),
]
"""What amounts of `Money` add up to: three digits more."""
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_time_text),
    AfterValidator(_in_reach),
    PlainSerializer(_show_time, return_type=str),
]
OccurredAt = Annotated[Time, AfterValidator(check_time)]
"""A time at which an event can have happened; a `Time` alone may ask for any."""
Change = Annotated[StrictInt, Field(ge=-MAX_INTEGER, le=MAX_INTEGER)]
