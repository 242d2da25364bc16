"""What can be typed behind `penstock import`, and what it means to `penstock.ingest.files`."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from penstock.ingest.files.options import (
    DECIMAL_SIGNS,
    ESCAPES,
    FORMATS,
    QUOTES,
    REJECT_SHARE,
    TEXTS,
)
from penstock.ingest.files.parse.stream import ENCODINGS

OBJECTS: Final = ("mapping", "fields", "constants", "defaults", "dates")
"""What is said here is added to what a file of options says."""
_EXAMPLES = """
  penstock import sales.csv --target orders --map "Invoice no.=order_id" --map "Remarks="
  penstock import sales.csv --target orders --field 'order_id={"columns": ["Shop", "Number"]}' --date ordered_at=excel
  penstock import log.csv --target events --options how-to-read-it.json --dry-run
  penstock import items.csv --target orders --join orders.csv --on order_id=id --field ordered_at=orders.paid_at
  penstock import undo 019aa1b2-0000-7000-8000-000000000000
  penstock import release 019aa1b2-0000-7000-8000-000000000000 536365 536366
"""


def add(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments; `check` sees to what argparse cannot say."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"examples:{_EXAMPLES}"
    parser.add_argument("file", help="the file, also gzip; - for standard input; or the word undo or release")
    parser.add_argument(
        "id", nargs="?", help="with undo: the import that is taken back; with release: that holds orders"
    )
    parser.add_argument("keys", nargs="*", metavar="key", help="with release: only these orders")
    parser.add_argument("--target", help="what its rows become: orders, customers, products, …")
    parser.add_argument("--dry-run", action="store_true", help="only look: mapping, types, counts, the first 20 rows")
    parser.add_argument("--reject-limit", type=_count, metavar="N", help="stop after so many rejected lines")
    parser.add_argument(
        "--reject-share",
        type=_share,
        default=REJECT_SHARE,
        metavar="SHARE",
        help="of a larger share of rejected lines the exit code is 3 (%(default)s)",
    )
    parser.add_argument("--rejects", metavar="FILE", help="write the lines left out there, with number and reason")
    add_reading(parser.add_argument_group("how the file is read, where that is not found out"))


def add_reading(parser: "argparse._ArgumentGroup") -> None:
    def add_pairs(name: str, metavar: str, text: str) -> None:
        parser.add_argument(f"--{name}", action="append", default=[], type=_pair, metavar=metavar, help=text)

    parser.add_argument(
        "--map", action="append", default=[], type=_mapped, metavar="COLUMN=FIELD", help="without a field: left out"
    )
    parser.add_argument("--mapping", type=_object, default={}, help="the same as one JSON object")
    parser.add_argument(
        "--field", action="append", default=[], type=_field, metavar="FIELD=SOURCE", help="a column, or a JSON object"
    )
    parser.add_argument("--rows", type=_list, metavar="JSON", help='filters: [{"column": "Status", "in": ["paid"]}]')
    parser.add_argument(
        "--join",
        action="append",
        default=[],
        type=_joined,
        metavar="FILE",
        help="a further file with records that belong to the rows; or a JSON object",
    )
    parser.add_argument(
        "--on", action=_On, default=[], type=_pair, metavar="COLUMN=COLUMN", help="by what they do: of the last --join"
    )
    add_pairs("constant", "FIELD=VALUE", "the value of every row")
    add_pairs("default", "FIELD=VALUE", "the value where the file has none")
    add_pairs("date", "FIELD=FORMAT", "how its times are written, such as %%d/%%m/%%Y; more than once: in this order")
    parser.add_argument("--zone", help="the zone of times that name none, such as Europe/Paris")
    parser.add_argument(
        "--also", action="append", metavar="NAME", help="further sorts of rows, such as credit_notes of orders"
    )
    parser.add_argument("--decimal", choices=DECIMAL_SIGNS, help="the decimal sign, or the word point or comma")
    parser.add_argument("--format", choices=FORMATS)
    parser.add_argument("--encoding", help=", ".join(ENCODINGS))
    parser.add_argument("--delimiter", metavar="CHARACTER")
    parser.add_argument("--quote", choices=QUOTES, help="the quote character, or none")
    parser.add_argument("--escape", choices=ESCAPES, help="whether a backslash takes what follows")
    parser.add_argument("--skip-rows", type=_count, metavar="N", help="so many lines come before the header")
    parser.add_argument("--header", type=_list, metavar="JSON", help="the columns' names, which the file does not have")
    parser.add_argument("--sheet", metavar="NAME", help="a workbook's sheet: its name, or its number from 1")
    parser.add_argument(
        "--no-remember", action="store_true", help="neither use a remembered mapping nor remember this one"
    )
    parser.add_argument("--no-header", action="store_true", help="the first line is a record")
    parser.add_argument("--options", type=_file, default={}, metavar="FILE", help="all of these as one JSON object")


def check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """`import undo ID` and `import release ID` are commands of their own; a file that is called undo is `./undo`."""
    if options.keys and options.file != "release":
        parser.error(f"unrecognized arguments: {' '.join(options.keys)}")
    if options.file not in ("undo", "release"):
        if options.id is not None:
            parser.error(f"unrecognized arguments: {options.id}")
        if options.target is None:
            parser.error("the following arguments are required: --target")
        return
    if options.id is None:
        parser.error(f"import {options.file} needs the id of an import")
    if options.target or options.dry_run:
        parser.error(f"import {options.file} takes an id alone")


def reading_options(options: argparse.Namespace) -> dict[str, Any]:
    """As `imports` wants them: only what was said."""
    given = options.options
    said: dict[str, Any] = {
        "mapping": {**options.mapping, **dict(options.map)},
        "constants": dict(options.constant),
        "defaults": dict(options.default),
        "fields": dict(options.field),
        "rows": options.rows,
        "join": options.join,
        "dates": _dates(options.date),
        "also": options.also,
        **{name: getattr(options, name) for name in TEXTS},
        "skip_rows": options.skip_rows,
        "header": False if options.no_header else options.header,
    }
    # an empty text or object says nothing; the number 0 and false do
    said = {name: value for name, value in said.items() if value or value is False or value == 0}
    said |= {"remember": False} if options.no_remember else {}
    merged = {name: {**given[name], **said[name]} for name in OBJECTS if _are_objects(given.get(name), said.get(name))}
    return {**given, **said, **merged}


def _are_objects(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)


def _dates(pairs: Sequence[Sequence[str]]) -> dict[str, str | list[str]]:
    """One format as it is, several of one field as a list."""
    formats: dict[str, list[str]] = {}
    for field, format_ in pairs:
        formats.setdefault(field, []).append(format_)
    return {field: written[0] if len(written) == 1 else written for field, written in formats.items()}


class _On(argparse.Action):
    """A pair of columns by which the file of the last `--join` is joined."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        if not namespace.join:
            parser.error(f"{option_string} follows the --join that it belongs to")
        here, there = values
        *before, last = namespace.join
        namespace.join = [*before, {**last, "on": {**last.get("on", {}), here: there}}]


def _joined(text: str) -> dict[str, Any]:
    return _object(text) if text.lstrip().startswith("{") else {"file": text}


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


def _field(text: str) -> tuple[str, Any]:
    """A source: JSON where it begins like an object, else a column's name."""
    field, source = _pair(text)
    return field, _object(source) if source.lstrip().startswith("{") else {"column": source}


def _file(name: str) -> dict[str, Any]:
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise argparse.ArgumentTypeError(f"{name} cannot be read: {error}") from None
    return _object(text)


def _list(text: str) -> list[Any]:
    value = _json(text)
    if not isinstance(value, list):
        raise argparse.ArgumentTypeError("not a JSON list")
    return value


def _object(text: str) -> dict[str, Any]:
    value = _json(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1, such as 0.01")
    return share


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not JSON: {error}") from None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:11]) > 2**31 - 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 on")
    return int(text)
