"""What can be typed behind `penstock import`, and what it means to `penstock.ingest.files`."""

import argparse
import json
from collections.abc import Sequence
from typing import Any

from penstock.ingest.files.options import DECIMAL_SIGNS, FORMATS, TEXTS
from penstock.ingest.files.parse.stream import ENCODINGS

_EXAMPLES = """
  penstock import sales.csv --target orders --map "Invoice no.=order_id" --map "Remarks="
  penstock import sales.csv --target orders --dry-run
  penstock import undo 019aa1b2-0000-7000-8000-000000000000
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments; `check` sees to what argparse cannot say."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:{_EXAMPLES}"
    parser.add_argument("file", help="the file, also gzip; - for standard input; or the word undo")
    parser.add_argument("id", nargs="?", help="with undo: the import into a table that is taken back")
    parser.add_argument("--target", help="what its rows become: orders, customers, products, …")
    parser.add_argument("--dry-run", action="store_true", help="only look: mapping, types, counts, the first 20 rows")
    parser.add_argument("--reject-limit", type=_count, metavar="N", help="stop after so many rejected lines")
    parser.add_argument("--rejects", metavar="FILE", help="write rejected lines there, with number and reason")
    add_reading(parser.add_argument_group("how the file is read, where that is not found out"))


def add_reading(parser: "argparse._ArgumentGroup") -> None:
    def add_pairs(name: str, metavar: str, text: str) -> None:
        parser.add_argument(f"--{name}", action="append", default=[], type=_pair, metavar=metavar, help=text)

    parser.add_argument(
        "--map", action="append", default=[], type=_mapped, metavar="COLUMN=FIELD", help="without a field: left out"
    )
    parser.add_argument("--mapping", type=_object, default={}, help="the same as one JSON object")
    add_pairs("constant", "FIELD=VALUE", "the value of every row")
    add_pairs("default", "FIELD=VALUE", "the value where the file has none")
    add_pairs("date", "FIELD=FORMAT", "how its times are written, such as %%d/%%m/%%Y")
    parser.add_argument("--decimal", choices=DECIMAL_SIGNS, help="the decimal sign")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--encoding", help=", ".join(ENCODINGS))
    parser.add_argument("--delimiter", metavar="CHARACTER")
    parser.add_argument("--sheet", metavar="NAME", help="a workbook's sheet: its name, or its number from 1")
    parser.add_argument(
        "--no-remember", action="store_true", help="neither use a remembered mapping nor remember this one"
    )
    parser.add_argument("--no-header", action="store_true", help="the first line is a record")


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """`import undo ID` is a command of its own; a file that is called undo is `./undo`."""
    if options.file != "undo":
        if options.id is not None:
            parser.error(f"unrecognized arguments: {options.id}")
        if options.target is None:
            parser.error("the following arguments are required: --target")
        return
    if options.id is None:
        parser.error("import undo needs the id of an import")
    if options.target or options.dry_run:
        parser.error("import undo takes an id alone")


def reading_options(options: argparse.Namespace) -> dict[str, Any]:
    """As `imports` wants them: only what was said."""
    said: dict[str, Any] = {
        "mapping": {**options.mapping, **dict(options.map)},
        "constants": dict(options.constant),
        "defaults": dict(options.default),
        "dates": dict(options.date),
        **{name: getattr(options, name) for name in TEXTS},
    }
    said = {name: value for name, value in said.items() if value}
    said |= {"header": False} if options.no_header else {}
    return {**said, "remember": False} if options.no_remember else said


def _mapped(text: str) -> tuple[str, str | None]:
    """A column's name may hold a `=`, a field's never does."""
    column, sign, field = text.rpartition("=")
    if not sign or not column:
        raise argparse.ArgumentTypeError(f"{text!r} is not COLUMN=FIELD")
    return column, field or None


def _pair(text: str) -> Sequence[str]:
    field, sign, value = text.partition("=")
    if not sign or not field:
        raise argparse.ArgumentTypeError(f"{text!r} is not FIELD=VALUE")
    return field, value


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:11]) > 2**31 - 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)
