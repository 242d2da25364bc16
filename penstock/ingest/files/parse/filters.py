"""Which records of a file are wanted: those that pass every filter. The others are skipped, with the filter's name.

A filter is an object: a `column` and one of `in` (a list of texts), `not_in` or `empty` (true or false).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.sources import SHOWN, Row, check_blank, check_text, check_texts

TESTS: Final = ("in", "not_in", "empty")
MAX_FILTERS: Final = 50
MAX_VALUES: Final = 1000

Filter = Callable[[Row], str | None]
"""Gives the reason why a row is not wanted, or None."""


def check_filters(option: str, given: object) -> list[dict[str, Any]]:
    """The filters as a list; raises `InvalidInput` that names `option` and the place in it."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > MAX_FILTERS:
        raise InvalidInput(f"a list of up to {MAX_FILTERS} objects", field=option)
    return [_check(f"{option}.{place}", item) for place, item in enumerate(given)]


def _check(option: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput("an object", field=option)
    unknown = sorted(str(key) for key in given if key not in {"column", "blank", "within", *TESTS})
    if unknown:
        raise InvalidInput(f"{unknown[0][:SHOWN]!r} is not a part of a filter", field=option)
    check_text(f"{option}.column", given.get("column"))
    tests = [test for test in TESTS if test in given]
    if len(tests) != 1:
        raise InvalidInput(f"must have one of {', '.join(TESTS)}", field=option)
    if tests[0] != "empty":
        check_texts(f"{option}.{tests[0]}", given[tests[0]], MAX_VALUES)
    elif not isinstance(given["empty"], bool):
        raise InvalidInput("true or false", field=f"{option}.empty")
    check_blank(option, given)
    return dict(given)


def compile_filter(wanted: Mapping[str, Any]) -> Filter:
    column = wanted["column"]
    read = Row.text_from_above if wanted.get("blank") else Row.text
    if "empty" in wanted:
        return _emptiness(column, read, bool(wanted["empty"]))
    among = "in" in wanted
    return _membership(column, read, wanted["in"] if among else wanted["not_in"], among)


def _emptiness(column: str, read: Callable[[Row, str], str | None], empty: bool) -> Filter:
    def reason(row: Row) -> str | None:
        text = read(row, column)
        if (text is None) == empty:
            return None
        return f"rows: {column} is empty" if text is None else f"rows: {column} is {text[:SHOWN]!r}, not empty"

    return reason


def _membership(column: str, read: Callable[[Row, str], str | None], values: Sequence[str], among: bool) -> Filter:
    known = frozenset(values)
    listed = f", none of {', '.join(values[:12])[:400]}" if among else ""

    def reason(row: Row) -> str | None:
        text = read(row, column) or ""
        return None if (text in known) == among else f"rows: {column} is {text[:SHOWN]!r}{listed}"

    return reason
