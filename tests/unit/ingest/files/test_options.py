"""How a file is to be read, as HTTP, a form and the command line let a caller say it: the same options everywhere."""

import argparse
import dataclasses
from typing import Any, get_args

import pytest

from penstock.cli import import_arguments
from penstock.errors import InvalidInput
from penstock.http.import_options import ImportOptions
from penstock.ingest.files.options import DECIMAL_SIGNS, FORMATS, MAPPINGS, TEXTS, Options
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
    "remember": (["--no-remember"], False),
    "sheet": (["--sheet", "Orders 2024"], "Orders 2024"),
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    import_arguments.add(made)
    return made


def test_every_option_is_an_object_a_text_or_a_truth_value() -> None:
    assert {*MAPPINGS, *TEXTS, "header", "remember"} == NAMES


def test_http_has_every_option_and_no_other() -> None:
    assert set(ImportOptions.model_fields) == NAMES | {"reject_limit"}


def test_every_option_can_be_typed_and_means_the_same() -> None:
    assert set(TYPED) == NAMES
    for name, (arguments, value) in TYPED.items():
        said = import_arguments.reading_options(parser().parse_args(["sales.csv", *arguments]))
        assert said == {name: value}
        assert getattr(Options.read(said), name) == value


def choices(name: str) -> tuple[str, ...]:
    (action,) = (action for action in parser()._actions if action.dest == name)
    return tuple(action.choices or ())


@pytest.mark.parametrize(("name", "values"), [("format", FORMATS), ("decimal", DECIMAL_SIGNS)])
def test_every_face_takes_the_same_values(name: str, values: tuple[str, ...]) -> None:
    assert choices(name) == values
    literal, nothing = get_args(ImportOptions.model_fields[name].annotation)
    assert (get_args(literal), nothing) == (values, type(None))
    for value in values:
        assert getattr(Options.read({name: value}), name) == value
    with pytest.raises(InvalidInput):
        Options.read({name: "another"})


def test_every_encoding_is_named_in_the_help() -> None:
    shown = " ".join(parser().format_help().split())
    assert [encoding for encoding in ENCODINGS if encoding not in shown] == []
