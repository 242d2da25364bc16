"""How a file is to be read, as HTTP, a form and the command line let a caller say it: the same options everywhere."""

import argparse
import dataclasses
import json
from typing import Any, get_args

import pytest

from penstock.cli import import_arguments
from penstock.errors import InvalidInput
from penstock.http.import_options import PLAIN, ImportOptions
from penstock.ingest.files.options import DECIMAL_SIGNS, ESCAPES, FORMATS, QUOTES, STRUCTURES, TEXTS, Options
from penstock.ingest.files.parse.stream import ENCODINGS

NAMES = {field.name for field in dataclasses.fields(Options)}
TYPED: dict[str, tuple[list[str], Any]] = {
    "mapping": (
        ["--map", "Invoice=order_id", "--mapping", '{"Remarks": null}'],
        {"Invoice": "order_id", "Remarks": None},
    ),
    "constants": (["--constant", "currency=EUR"], {"currency": "EUR"}),
    "defaults": (["--default", "currency=EUR"], {"currency": "EUR"}),
    "dates": (["--date", "ordered_at=%d/%m/%Y"], {"ordered_at": "%d/%m/%Y"}),
    "decimal": (["--decimal", ","], ","),
    "format": (["--format", "tsv"], "tsv"),
    "encoding": (["--encoding", "latin-1"], "latin-1"),
    "delimiter": (["--delimiter", ";"], ";"),
    "header": (["--no-header"], False),
    "fields": (
        ["--field", "product_id=SKU", "--field", 'order_id={"columns": ["A", "B"]}'],
        {"product_id": {"column": "SKU"}, "order_id": {"columns": ["A", "B"]}},
    ),
    "rows": (["--rows", '[{"column": "S", "empty": false}]'], [{"column": "S", "empty": False}]),
    "join": (
        [
            *("--join", "o.csv", "--on", "order_id=id", "--on", "shop=shop"),
            *("--join", '{"file": "c.csv", "required": false}', "--on", "o.customer=id"),
        ],
        [
            {"file": "o.csv", "on": {"order_id": "id", "shop": "shop"}},
            {"file": "c.csv", "required": False, "on": {"o.customer": "id"}},
        ],
    ),
    "quote": (["--quote", "'"], "'"),
    "escape": (["--escape", "backslash"], "backslash"),
    "also": (["--also", "credit_notes", "--also", "gifts"], ["credit_notes", "gifts"]),
    "zone": (["--zone", "Europe/Paris"], "Europe/Paris"),
    "skip_rows": (["--skip-rows", "0"], 0),
    "remember": (["--no-remember"], False),
    "sheet": (["--sheet", "Orders 2024"], "Orders 2024"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    import_arguments.add(made)
    return made


def test_every_option_is_a_structure_a_text_or_plain() -> None:
    assert {*STRUCTURES, *TEXTS, *PLAIN} == NAMES


def test_http_has_every_option_and_no_other() -> None:
    assert set(ImportOptions.model_fields) == NAMES | {"reject_limit", "reject_share"}


def test_every_option_can_be_typed_and_means_the_same() -> None:
    assert set(TYPED) == NAMES
    for name, (arguments, value) in TYPED.items():
        said = import_arguments.reading_options(parser().parse_args(["sales.csv", *arguments]))
        assert said == {name: value}
        assert getattr(Options.read(said), name) == value


def choices(name: str) -> tuple[str, ...]:
    (action,) = (action for action in parser()._actions if action.dest == name)
    return tuple(action.choices or ())


@pytest.mark.parametrize(
    ("name", "values"), [("format", FORMATS), ("decimal", DECIMAL_SIGNS), ("quote", QUOTES), ("escape", ESCAPES)]
)
def test_every_face_takes_the_same_values(name: str, values: tuple[str, ...]) -> None:
    assert choices(name) == values
    literal, nothing = get_args(ImportOptions.model_fields[name].annotation)
    assert (get_args(literal), nothing) == (values, type(None))
    for value in values:
        assert getattr(Options.read({name: value}), name) == {"point": ".", "comma": ","}.get(value, value)
    with pytest.raises(InvalidInput):
        Options.read({name: "another"})


def test_every_encoding_is_named_in_the_help() -> None:
    shown = " ".join(parser().format_help().split())
    assert [encoding for encoding in ENCODINGS if encoding not in shown] == []


def test_options_may_be_kept_as_json_and_read_again() -> None:
    given = {name: value for name, (_, value) in TYPED.items()}
    said = Options.read({**given, "mapping": {"Remarks": None}})
    kept = json.loads(json.dumps(said.as_json()))
    assert set(kept) == NAMES
    assert Options.read(kept) == said
    assert Options.read({"fields": {"id": "no"}}).canonical() == '{"fields": {"id": {"column": "no"}}}'
