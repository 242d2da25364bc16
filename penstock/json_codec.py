"""Strict JSON, one place for both directions.

In: no NaN or infinity, no NUL character (Postgres' jsonb refuses it), no repeated keys, no lone surrogates,
a bounded depth, and no number that a double would change (more than 17 digits: send it as a string), so that
what is stored is what was sent. Out: `Decimal` as a string, times as RFC 3339 in UTC.
"""

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from penstock.errors import InvalidInput

MAX_DEPTH = 64


def loads(text: bytes | str, *, field: str = "body") -> Any:
    """Parse JSON or raise `InvalidInput` that names `field`, line, column and reason."""
    try:
        from_bytes = isinstance(text, bytes)
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_float=_parse_float,
            parse_int=_parse_int,
            object_pairs_hook=_unique,
        )
    except UnicodeDecodeError as error:
        raise InvalidInput(f"not UTF-8 at byte {error.start}", field=field) from error
    except json.JSONDecodeError as error:
        raise InvalidInput(
            f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}", field=field
        ) from error
    except RecursionError as error:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels", field=field) from error
    except _RefusedError as error:
        raise InvalidInput(str(error), field=field) from error
    if not (from_bytes and _cannot_fail(text)):
        check(value, field=field)
    return value


def _cannot_fail(text: str) -> bool:
    """Whether `check` would find nothing for sure: bad characters need an escape in valid UTF-8, depth its brackets."""
    return "\\u" not in text and text.count("{") + text.count("[") <= MAX_DEPTH


def dumps(value: object) -> str:
    """Encode compactly; refuses what JSON cannot hold instead of guessing."""
    return _ENCODER.encode(value)


def plain(value: object) -> Any:
    """The value as what JSON knows: dicts, lists, texts, numbers; for whoever encodes it without this module."""
    return json.loads(dumps(value))


def check(value: object, *, field: str, depth: int = 0) -> None:
    """Refuse what Postgres' jsonb cannot store, naming the place as `field.key[index]`."""
    if depth > MAX_DEPTH:
        raise InvalidInput(f"nested deeper than {MAX_DEPTH} levels", field=field)
    if isinstance(value, str):
        check_text(value, field=field)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput("not a finite number", field=field)
    elif isinstance(value, dict):
        for key, item in value.items():
            check_text(key, field=f"a key in {field}")
            check(item, field=f"{field}.{key}", depth=depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            check(item, field=f"{field}[{index}]", depth=depth + 1)


def check_text(text: str, *, field: str) -> None:
    """Refuse characters that Postgres' text cannot store."""
    if "\x00" in text:
        raise InvalidInput("has a NUL character, which Postgres cannot store", field=field)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidInput("has half of a surrogate pair, which is no character", field=field) from error


class _RefusedError(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _RefusedError(f"{name} is not a JSON number")


def _parse_int(digits: str) -> int:
    if len(digits) > 1000:
        raise _RefusedError("a number with more than 1,000 digits")
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"{digits[:40]} is beyond the range of a number")
    exact = len(digits) <= 15 and "e" not in digits.lower()  # an exponent may reach where doubles are sparse, or 0
    if not exact and Decimal(repr(number)) != Decimal(digits):
        raise _RefusedError(f"{digits[:40]} has more digits than a JSON number keeps: send it as a string")
    return number


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"the key {repeated!r} stands twice in one object")
    return result


def _encode_time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


_ENCODERS: dict[type, Callable[[Any], str]] = {
    Decimal: lambda value: format(value, "f"),
    datetime: _encode_time,
    date: lambda value: str(value.isoformat()),
    UUID: str,
}


def _encode(value: object) -> str:
    try:
        encoder = _ENCODERS[type(value)]
    except KeyError:
        raise TypeError(f"{type(value).__name__} has no JSON form here") from None
    return encoder(value)


# made once: json.dumps would make one for each call
_ENCODER = json.JSONEncoder(default=_encode, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
