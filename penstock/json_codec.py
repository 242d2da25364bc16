"""Strict JSON, one place for both directions.

In: no NaN or infinity, no NUL character (Postgres' jsonb refuses it), no repeated keys, no lone surrogates,
no number that a double would change (more than 17 digits: send it as a string), so that what is stored is what was
sent; and a bounded depth, number of keys and values, and length of a number, so that reading costs no more than a
document of its size may. Out: `Decimal` as a string, times as RFC 3339 in UTC.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final
from uuid import UUID

from penstock.errors import InvalidInput

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 1000
MAX_KEYS: Final = 50_000
MAX_VALUES: Final = 250_000
"""Of one document. Parsing holds Python's lock: a few megabytes of `[],[],…` would stop every thread for seconds."""

_SHOWN: Final = 80
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""Also one that never ends: then no second attempt is made from a quote within it, and the cost stays linear."""


def loads(text: bytes | str, *, field: str = "body") -> Any:
    """Parse JSON or raise `InvalidInput` that names `field`, line, column and reason."""
    try:
        from_bytes = isinstance(text, bytes)
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        check_counts(text, field=field)
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
    """The value as what JSON knows: dicts, lists, texts, numbers; to be encoded without this module."""
    return json.loads(dumps(value))


def check(value: object, *, field: str) -> None:
    """Refuse what Postgres' jsonb cannot store, naming the place as `field.key[index]`."""
    if fault := _first_fault(value):
        raise InvalidInput(fault.reason, field=f"{'a key in ' if fault.in_key else ''}{field}{fault.place}")


def check_text(text: str, *, field: str) -> None:
    """Refuse characters that Postgres' text cannot store."""
    if reason := _fault_of(text):
        raise InvalidInput(reason, field=field)


def check_counts(text: str, *, field: str) -> None:
    """Refuse more keys or values than one document may have, at the cost of a look at the text: nothing is parsed."""
    if text.count(":") <= MAX_KEYS and _separators(text) <= MAX_VALUES:
        return  # even if no string held one of them
    bare = _STRING.sub("", text)
    if bare.count(":") > MAX_KEYS:
        raise InvalidInput(f"more than {MAX_KEYS:,} keys", field=field)
    if _separators(bare) > MAX_VALUES:
        raise InvalidInput(f"more than {MAX_VALUES:,} values", field=field)


def _separators(text: str) -> int:
    """Each value but the outermost follows one of these."""
    return text.count(",") + text.count("[") + text.count("{")


@dataclass(frozen=True, slots=True)
class _Fault:
    reason: str
    place: str = ""
    in_key: bool = False

    def within(self, step: str) -> "_Fault":
        return replace(self, place=(step + self.place)[:_SHOWN])


def _first_fault(value: object, depth: int = 0) -> _Fault | None:
    """The place is put together on the way out of what is at fault, so that a sound document pays nothing for it."""
    if depth > MAX_DEPTH:
        return _Fault(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        return _first_fault_of_object(value, depth)
    if isinstance(value, list):
        for index, item in enumerate(value):
            if fault := _first_fault(item, depth + 1):
                return fault.within(f"[{index}]")
    elif isinstance(value, str) and (reason := _fault_of(value)):
        return _Fault(reason)
    elif isinstance(value, float) and not math.isfinite(value):
        return _Fault("not a finite number")
    return None


def _first_fault_of_object(value: dict[str, Any], depth: int) -> _Fault | None:
    for key, item in value.items():
        if reason := _fault_of(key):
            return _Fault(reason, in_key=True)
        if fault := _first_fault(item, depth + 1):
            return fault.within(f".{key[:_SHOWN]}")
    return None


def _fault_of(text: str) -> str | None:
    if "\x00" in text:
        return "has a NUL character, which Postgres cannot store"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "has half of a surrogate pair, which is not a character"
    return None


class _RefusedError(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _RefusedError(f"{name} is not a JSON number")


def _parse_int(digits: str) -> int:
    _check_digits(digits)
    return int(digits)


def _check_digits(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise _RefusedError(f"a number with more than {MAX_DIGITS:,} digits")


def _parse_float(digits: str) -> float:
    _check_digits(digits)
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"{digits[:40]} is beyond the range of a number")
    exact = len(digits) <= 15 and "e" not in digits.lower()  # an exponent may reach where doubles are sparse, or 0
    if not exact and not _is_kept(number, digits):
        raise _RefusedError(f"{digits[:40]} has more digits than a JSON number keeps: send it as a string")
    return number


def _is_kept(number: float, digits: str) -> bool:
    try:
        return Decimal(repr(number)) == Decimal(digits)
    except InvalidOperation:  # its exponent has more digits than a Decimal's may have
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise _RefusedError(f"the key {repeated[:_SHOWN]!r} appears twice in one object")
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
