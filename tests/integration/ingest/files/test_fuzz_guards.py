"""The fuzz can fail: with one guard of the two paths taken away, the judge finds a record that was taken wrongly."""

import random
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock import json_codec
from penstock.ingest.files.parse import fast_path, jsonl, times, types
from tests.integration.ingest.files.fuzzing import fuzz
from tests.integration.ingest.files.mutants import VARIANTS

RECORDS = 40_000
BY_NAME = {variant.name: variant for variant in VARIANTS}


def _any_day(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(times, "_DAY", rb"(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


def _any_bytes(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fast_path, "_is_utf8", lambda data: True)


def _floats_as_ids(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(types.Identifier, "_guard", lambda self, quote, exact: b"")


def _any_size(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(types.Integer, "core", property(lambda self: rb"-?\d{1,30}+"))


def _blanks_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(types, "_NO_BLANK_BEHIND", b"")


def _rounded(patch: pytest.MonkeyPatch) -> None:
    def parse(kind: types.Number, text: str) -> Decimal:
        if not re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]+)?", text):
            raise types.InvalidValue("not a number")
        return round(Decimal(text), kind.places)

    patch.setattr(types.Number, "_parse", parse)


def _cut_short(patch: pytest.MonkeyPatch) -> None:
    read = types.Text.read
    patch.setattr(types.Text, "read", lambda self, text: read(self, text.strip()[: self.at_most]))


def _months_first(patch: pytest.MonkeyPatch) -> None:
    def declared(kind: types.Timestamp, text: str) -> str:
        try:
            return datetime.strptime(text, "%m/%d/%Y %H:%M").isoformat(" ")  # noqa: DTZ007
        except ValueError as error:
            raise types.InvalidValue("not a time") from error

    patch.setattr(types.Timestamp, "_declared", declared)


def _point_for_comma(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(types.Number, "_with_point", staticmethod(lambda text: text.replace(",", ".")))


def _last_key_wins(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(json_codec, "_unique", dict)


def _nearest_double(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(json_codec, "_parse_float", float)


def _half_characters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(json_codec, "_fault_of", lambda text: None)


def _short_numbers(patch: pytest.MonkeyPatch) -> None:
    text = jsonl._text
    patch.setattr(jsonl, "_text", lambda value: f"{value:.1f}" if isinstance(value, float) else text(value))


Guard = Callable[[pytest.MonkeyPatch], None]
CASES: list[tuple[Guard, str]] = [
    (_any_day, "csv"),
    (_any_bytes, "csv"),
    (_floats_as_ids, "csv"),
    (_any_size, "csv, staged"),
    (_blanks_stay, "csv"),
    (_rounded, "csv"),
    (_cut_short, "csv, staged"),
    (_months_first, "days first"),
    (_point_for_comma, "decimal comma"),
    (_last_key_wins, "json lines"),
    (_nearest_double, "json lines"),
    (_half_characters, "json lines"),
    (_short_numbers, "json lines, staged"),
]


@pytest.mark.parametrize(("remove", "variant"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_without_one_guard_a_record_is_taken_wrongly(
    connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, remove: Guard, variant: str
) -> None:
    remove(monkeypatch)
    with pytest.raises((AssertionError, psycopg.DataError, UnicodeError)) as caught:
        fuzz(connection, BY_NAME[variant], RECORDS, random.Random(1))
    assert "leave enough good records" not in str(caught.value)
