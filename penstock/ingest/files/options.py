"""What a caller may say about how a file is to be read, checked at once.

Everything is optional. `mapping` is {column of the file: field, or None to leave the column out}; `constants` and
`defaults` are {field: value} for every row and for empty values; `dates` is {field: strptime format}. `sheet` is a
workbook's sheet by its name, or its number from 1; without
`remember` neither is a remembered mapping used nor are these options remembered.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, get_args

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.stream import ENCODINGS

Format: TypeAlias = Literal["csv", "tsv", "json", "jsonl"]
DecimalSign: TypeAlias = Literal[".", ","]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
DECIMAL_SIGNS: Final[tuple[str, ...]] = get_args(DecimalSign)
MAPPINGS: Final = ("mapping", "constants", "defaults", "dates")
"""The options that are objects of texts; HTTP and a form take them as JSON."""
TEXTS: Final = ("decimal", "format", "encoding", "delimiter", "sheet")
_ALIASES = {
    "cp1252": "windows-1252",
    "utf8": "utf-8",
    "iso-8859-1": "latin-1",
    "macroman": "mac-roman",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
    "ndjson": "jsonl",
}
_PROBES = (datetime(2028, 2, 29, 21, 43, 59, tzinfo=UTC), datetime(2011, 12, 30, tzinfo=UTC))


@dataclass(frozen=True)
class Options:
    mapping: Mapping[str, str | None] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str] = field(default_factory=dict)
    decimal: str = "."
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    header: bool = True
    sheet: str | None = None
    remember: bool = True

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "Options":
        """Check what came from outside; raises `InvalidInput` naming the option."""
        given = dict(given or {})
        unknown = sorted(set(given) - set(cls.__dataclass_fields__))
        if unknown:
            raise InvalidInput("no such option", field=str(unknown[0])[:80])
        for name in MAPPINGS:
            _check_texts(name, given.get(name, {}), nullable=name == "mapping")
        for name, written in given.get("dates", {}).items():
            _check_date_format(f"dates.{name[:80]}", written)
        _fold(given, "format", FORMATS)
        _fold(given, "encoding", tuple(ENCODINGS))
        if given.get("decimal", ".") not in DECIMAL_SIGNS:
            raise InvalidInput("the decimal sign is a point or a comma", field="decimal")
        delimiter = given.get("delimiter")
        if delimiter is not None and not _is_delimiter(delimiter):
            raise InvalidInput("one ASCII character, no letter, digit, quote, sign or backslash", field="delimiter")
        if not _is_sheet(given.get("sheet")):
            raise InvalidInput("the name of a sheet, or its number from 1", field="sheet")
        for name in ("header", "remember"):
            if not isinstance(given.get(name, True), bool):
                raise InvalidInput("true or false", field=name)
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        """Only what differs from the defaults, so that the fingerprint does not depend on spelling them out."""
        plain = Options()
        return {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}

    def canonical(self) -> str:
        return json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False)


def _is_delimiter(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[\t -~]", value) and not re.match(r'[\w"\\.+-]', value))


def _is_sheet(value: object) -> bool:
    return value is None or (isinstance(value, str) and 0 < len(value) <= 100 and "\x00" not in value)


def _check_texts(name: str, value: object, *, nullable: bool) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInput("an object of texts", field=name)
    for key, item in value.items():
        if not (isinstance(key, str) and (isinstance(item, str) or (nullable and item is None))):
            raise InvalidInput("keys and values are texts", field=f"{name}.{str(key)[:80]}")
        if "\x00" in key or "\x00" in (item or ""):
            raise InvalidInput("a NUL character", field=f"{name}.{key[:80]}")


def _check_date_format(name: str, written: str) -> None:
    """A format must read back the days that it writes: without a year, say, 29 February is refused in no file."""
    if len(written) > 100:
        raise InvalidInput("longer than 100 characters", field=name)
    try:
        read = [datetime.strptime(day.strftime(written), written).date() for day in _PROBES]  # noqa: DTZ007
    except (ValueError, re.error) as error:  # re.error: a directive that appears twice
        raise InvalidInput(f"not a strptime format: {error}", field=name) from error
    if read != [day.date() for day in _PROBES]:
        raise InvalidInput("must have a year, a month and a day, such as %d/%m/%Y or %m/%d/%y %H:%M", field=name)


def _fold(given: dict[str, Any], name: str, known: tuple[str, ...]) -> None:
    value = given.get(name)
    if value is None:
        return
    text = str(value).lower().replace("_", "-")
    text = _ALIASES.get(text, text)
    if text not in known:
        raise InvalidInput(f"one of {', '.join(known)}", field=name)
    given[name] = text
