"""Further files whose records belong to a file's records by a key: what the option `join` says of them.

An entry is an object: `file` (its name), `on` ({column of this file, or of a file joined before it: column of that
file}), and beside them `take` ({column of that file: what it is called here}), `required` (false: a record without a
match has nothing in those columns, and is not rejected), `repeated` (`first` or `last`: which of several records with
one key counts), options that say how its text becomes records, and `sha256`, under which its content is stored.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.sources import SHOWN, check_text
from penstock.ingest.files.parse.types import Identifier, InvalidValue

MAX_JOINS: Final = 10
MAX_KEYS: Final = 5
REPEATED: Final = ("first", "last")
FRAMING: Final = ("format", "encoding", "delimiter", "quote", "escape", "skip_rows", "header", "sheet")
"""Options of the import that an entry may have for its own file."""
_KNOWN: Final = ("file", "on", "take", "required", "repeated", "sha256", *FRAMING)
_BETWEEN: Final = "\x1f"
"""What separates the parts of a key: a character that no id has."""
_ID: Final = Identifier(at_most=1000)

Lookup = Callable[[int, Sequence[str]], Mapping[str, Sequence[str | None]]]
"""For the number of a join and some keys, the cells of the records that there are."""


@dataclass(frozen=True)
class Join:
    """A further file as it is joined: `taken` are the columns that it has, `columns` how they are called here.

    `records` of it can be found, `repeats` came with a key that another has, and `broken` could not be read.
    """

    file: str
    sha256: str
    on: Mapping[str, str]
    columns: Sequence[str]
    taken: Sequence[str]
    required: bool
    repeated: str | None
    records: int = 0
    repeats: int = 0
    broken: int = 0
    first_broken: str | None = None

    def described(self) -> dict[str, Any]:
        return {"file": self.file, "on": dict(self.on), "columns": list(self.columns), "required": self.required}


def check_joins(option: str, given: object) -> list[dict[str, Any]]:
    """The entries as a list; raises `InvalidInput` that names `option` and the place in it."""
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > MAX_JOINS:
        raise InvalidInput(f"a list of up to {MAX_JOINS} objects", field=option)
    return [_check(f"{option}.{place}", item) for place, item in enumerate(given)]


def make_join(entry: Mapping[str, Any], place: int, header: Sequence[str]) -> Join:
    """The entry, of a file with that header; raises `InvalidInput` for a column that it does not have."""
    on, take = dict(entry["on"]), entry.get("take")
    named = [(f"join.{place}.on", name) for name in on.values()] + [(f"join.{place}.take", name) for name in take or ()]
    for option, name in named:
        if name not in header:
            listed = ", ".join(each[:60] for each in header[:20])
            raise InvalidInput(f"{entry['file']} has no column {name[:SHOWN]!r}; it has {listed}", field=option)
    if take is None:
        stem = PurePath(entry["file"]).name.split(".")[0]
        take = {name: f"{stem}.{name}" for name in header if name and name not in on.values()}
    return Join(
        entry["file"],
        entry["sha256"],
        on,
        list(take.values()),
        list(take),
        entry.get("required", True),
        entry.get("repeated"),
    )


def key_of(texts: Sequence[str | None]) -> str | None:
    """What records are joined by, or None where a part of it is empty; `17850.0` is `17850`, as in every id."""
    parts = [_part(text) for text in texts if text is not None]
    return _BETWEEN.join(parts) if len(parts) == len(texts) else None


def shown_key(key: str) -> str:
    return ", ".join(repr(part[:SHOWN]) for part in key.split(_BETWEEN))


def _part(text: str) -> str:
    try:
        return _ID.read(text)
    except InvalidValue:
        return text


def _check(option: str, given: object) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise InvalidInput("an object", field=option)
    unknown = sorted(str(key) for key in given if key not in _KNOWN)
    if unknown:
        raise InvalidInput(f"{unknown[0][:SHOWN]!r} is not a part of a join", field=option)
    check_text(f"{option}.file", given.get("file"))
    _check_pairs(f"{option}.on", given.get("on"), MAX_KEYS)
    if "take" in given:
        _check_pairs(f"{option}.take", given["take"], 1000)
    if not isinstance(given.get("required", True), bool):
        raise InvalidInput("true or false", field=f"{option}.required")
    if given.get("repeated") not in (None, *REPEATED):
        raise InvalidInput(f"one of {', '.join(REPEATED)}", field=f"{option}.repeated")
    if "sha256" in given and not re.fullmatch("[0-9a-f]{64}", str(given["sha256"])):
        raise InvalidInput("not a SHA-256 in hexadecimal digits", field=f"{option}.sha256")
    return dict(given)


def _check_pairs(option: str, value: object, at_most: int) -> None:
    if not isinstance(value, Mapping) or not 0 < len(value) <= at_most:
        raise InvalidInput(f"an object of 1 to {at_most} texts", field=option)
    for pair in value.items():
        for text in pair:
            check_text(option, text)
    if len(set(value.values())) < len(value):
        raise InvalidInput("names a column twice", field=option)
