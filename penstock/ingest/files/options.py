"""What a caller may say about how a file is to be read, checked at once.

Everything is optional. `mapping` is {column of the file: field, or None to leave the column out}; `fields` is
{field: source} (`parse/sources.py`), of which `mapping` is the short form; `rows` are filters (`parse/filters.py`);
`constants` and `defaults` are {field: value} for every row and for empty values; `dates` is {field: format, or a list
of formats to be tried in this order}; `header` is false without one, or the names that the file does not give.
`join` is about further files (`parse/joins.py`); `also` names further sorts of rows that the target knows;
`sheet` is a workbook's sheet by its name, or its number from 1; without `remember` neither is a remembered mapping used
nor are these options remembered.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.filters import check_filters
from penstock.ingest.files.parse.joins import FRAMING, check_joins
from penstock.ingest.files.parse.sources import check_source, check_text, check_texts
from penstock.ingest.files.parse.stream import ENCODINGS
from penstock.ingest.files.parse.times import WORDS

Format: TypeAlias = Literal["csv", "tsv", "json", "jsonl"]
DecimalSign: TypeAlias = Literal[".", ",", "point", "comma"]
Quote: TypeAlias = Literal['"', "'", "`", "none"]
Escape: TypeAlias = Literal["backslash", "none"]
FORMATS: Final[tuple[str, ...]] = get_args(Format)
QUOTES: Final[tuple[str, ...]] = get_args(Quote)
ESCAPES: Final[tuple[str, ...]] = get_args(Escape)
SIGN_WORDS: Final = {"point": ".", "comma": ","}
DECIMAL_SIGNS: Final[tuple[str, ...]] = get_args(DecimalSign)
MAPPINGS: Final = ("mapping", "constants", "defaults")
"""The options that are objects of texts."""
STRUCTURES: Final = (*MAPPINGS, "dates", "fields", "rows", "join", "also")
"""The options that are objects or lists; HTTP and a form take them as JSON."""
TEXTS: Final = ("decimal", "format", "encoding", "delimiter", "quote", "escape", "zone", "sheet")
REJECT_SHARE: Final = 0.01
"""Of a larger share of rejected and held lines an import ends as `completed_with_rejects`."""
MAX_SKIPPED: Final = 1000
MAX_NAMES: Final = 1000
MAX_FORMATS: Final = 8
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
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = field(default_factory=list)
    join: Sequence[Mapping[str, Any]] = field(default_factory=list)
    constants: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    dates: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    decimal: str | None = None
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    zone: str | None = None
    skip_rows: int | None = None
    header: bool | Sequence[str] = True
    also: Sequence[str] = field(default_factory=list)
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
        _read_fields(given)
        given["rows"] = check_filters("rows", given.get("rows", []))
        given["join"] = check_joins("join", given.get("join", []))
        for place, entry in enumerate(given["join"]):
            _check_framing(f"join.{place}", entry)
        _check_dates(given.get("dates", {}))
        _fold(given, "format", FORMATS)
        _fold(given, "encoding", tuple(ENCODINGS))
        _fold(given, "quote", QUOTES)
        _fold(given, "escape", ESCAPES)
        given["decimal"] = SIGN_WORDS.get(str(given.get("decimal")), given.get("decimal"))
        if given["decimal"] not in (None, *SIGN_WORDS.values()):
            raise InvalidInput("the decimal sign is a point or a comma", field="decimal")
        delimiter = given.get("delimiter")
        if delimiter is not None and not _is_delimiter(delimiter):
            raise InvalidInput("one ASCII character, no letter, digit, quote, sign or backslash", field="delimiter")
        _check_zone(given.get("zone"))
        _check_lines(given.get("skip_rows"))
        if not isinstance(given.get("header", True), bool):
            check_texts("header", given["header"], MAX_NAMES)
        if given.get("also", []) != []:
            check_texts("also", given["also"], MAX_FORMATS)
        if not _is_sheet(given.get("sheet")):
            raise InvalidInput("the name of a sheet, or its number from 1", field="sheet")
        if not isinstance(given.get("remember", True), bool):
            raise InvalidInput("true or false", field="remember")
        return cls(**given)

    def as_json(self) -> dict[str, Any]:
        """Only what differs from the defaults, so that the fingerprint does not depend on spelling them out."""
        plain = Options()
        return {name: value for name, value in asdict(self).items() if value != getattr(plain, name)}

    def canonical(self) -> str:
        return json.dumps(self.as_json(), sort_keys=True, ensure_ascii=False)


def check_reject_bounds(limit: int | None, share: float) -> None:
    if limit is not None and limit < 0:
        raise InvalidInput("less than 0", field="reject_limit")
    if not 0 <= share <= 1:
        raise InvalidInput("a share from 0 to 1, such as 0.01", field="reject_share")


def _check_framing(option: str, entry: Mapping[str, Any]) -> None:
    """What an entry of `join` says of its own file."""
    try:
        Options.read({name: entry[name] for name in FRAMING if name in entry})
    except InvalidInput as error:
        raise InvalidInput(str(error), field=option) from error


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


def _read_fields(given: dict[str, Any]) -> None:
    """Every source as an object, and none of a field that is said elsewhere too."""
    fields = given.get("fields", {})
    if not isinstance(fields, Mapping):
        raise InvalidInput("an object of sources", field="fields")
    for name in fields:
        check_text("fields", name)
    given["fields"] = {name: check_source(f"fields.{name[:80]}", source) for name, source in fields.items()}
    for option, said in (("mapping", given.get("mapping", {}).values()), ("constants", given.get("constants", {}))):
        twice = [name for name in said if name in fields]
        if twice:
            raise InvalidInput(f"{twice[0][:80]} is said here and in {option}", field="fields")
    for name, source in given["fields"].items():
        if "default" in source and name in given.get("defaults", {}):
            raise InvalidInput(f"the default of {name[:80]} is said here and in defaults", field="fields")


def _check_dates(dates: object) -> None:
    if not isinstance(dates, Mapping):
        raise InvalidInput("an object of texts or lists of texts", field="dates")
    for name, written in dates.items():
        option = f"dates.{str(name)[:80]}"
        check_text(option, name)
        formats = [written] if isinstance(written, str) else written
        check_texts(option, formats, MAX_FORMATS)
        for format_ in formats:
            if format_ not in WORDS:
                _check_date_format(option, format_)


def _check_zone(zone: object) -> None:
    if zone is None:
        return
    check_text("zone", zone)
    try:
        ZoneInfo(str(zone))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput("not an IANA time zone, such as Europe/Paris", field="zone") from error


def _check_lines(number: object) -> None:
    if number is not None and (type(number) is not int or not 0 <= number <= MAX_SKIPPED):
        raise InvalidInput(f"a whole number from 0 to {MAX_SKIPPED}", field="skip_rows")


def _check_date_format(name: str, written: str) -> None:
    """A format must read back the days that it writes: without a year, say, 29 February is refused in no file."""
    if len(written) > 100:
        raise InvalidInput("longer than 100 characters", field=name)
    if "%Z" in written.replace("%%", ""):
        raise InvalidInput(
            "%Z names no offset: write the zone's letters themselves and say the option zone", field=name
        )
    try:
        read = [datetime.strptime(day.strftime(written), written).date() for day in _PROBES]  # noqa: DTZ007
    except (ValueError, re.error) as error:  # re.error: a directive that appears twice
        words = ", ".join(WORDS)
        raise InvalidInput(f"not a strptime format, nor one of {words}: {error}", field=name) from error
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
