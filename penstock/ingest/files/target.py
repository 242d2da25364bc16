"""What a file can be imported into, and the registry of all of them.

A target names its fields (type, whether required, the header names by which a column is recognised) and what becomes
of the rows: events (`EventMapping`, a select over the staged rows) or rows of a plain `Table`. Names of tables
and columns come from here alone, never from a request. Targets are part of a domain and known once that is installed
(`penstock/domain.py`); the target `events` belongs to no domain and is always there.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, LiteralString

from penstock.errors import NotFound
from penstock.ingest.files.parse.types import FieldType
from penstock.settings import SettingDefault, Settings

Repeat = Literal["stream", "latest", "id"]


MOMENT: Final[LiteralString] = (
    "case when date_trunc('second', <at>) = <at>"
    " then to_char(<at> at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
    " else to_char(<at> at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') end"
)
"""SQL for a time as payloads carry it, RFC 3339 in UTC. Text and not a function, which costs four times as much."""


@dataclass(frozen=True)
class Field:
    """`synonyms` are other header names, compared without case, blanks and punctuation."""

    name: str
    field_type: FieldType
    required: bool = False
    synonyms: tuple[str, ...] = ()


@dataclass(frozen=True)
class Amendment:
    """How a row changes what its stream says already: by an event of the type `event_type`.

    `merge` names an SQL function `(stored jsonb, given jsonb) returns jsonb`: `{"payload": …, "known": n}` with what
    holds from now on and how many of the file's lines the store had; null if that is nothing new; a JSON null if the
    two cannot be one, which rejects the lines.
    """

    event_type: str
    merge: str


@dataclass(frozen=True)
class EventMapping:
    """Events made of staged rows.

    `select` reads `{rows}` (a column `ord`, the order in the file, and one for each field) and gives one row per
    staged event: `first_ord`, `lines` (how many), `aggregate_type`, `aggregate_id`, `id`, `event_type`, `payload`,
    `occurred_at`, `schema_version`, `metadata` (more of it) and `more`, further event types. `more_details` has
    of each of these its `payload`, what its `metadata` have of their own (another `occurred_at`), and `assumed`: one
    that is not assumed is appended to a stored stream too, if that has none of its type whose payload contains
    `unless`, after the last one of the type `since` if it names one. Null: an empty payload, the same moment, assumed.
    The select may use `{begun_at}`, the time at which the import was asked for, and `{content}`, the hash of the file.
    `repeat` says how an event is recognised that the store has already: by its stream, by being what the stream's
    latest event of the type says, or by its id. Lines of one event may be spread over the file, so `by` names the
    field that they have in common. Of `stream`, lines that cannot be one event have a null `event_type` and as
    `payload` the reason, a JSON text: they are rejected.

    `amendment` and `removed` are for `stream` alone: without an amendment, a stream that says something else rejects
    the row's lines; after an event of a type in `removed` a stream says nothing, and a row begins it once more.

    `holds` says what an event is of (`order`), if one with a rejected line is held back whole: `aggregate_id` must then
    be the text of the field `by`. None: a rejected line says nothing about others.

    `needs` is for `id` alone, and for events that go on with streams which others begin: the type of event that must
    have begun the stream (and none of `removed` have come since), or the line is rejected, and the file may be loaded
    again when it has. Of an event that is stored, further events that are not assumed are appended as for `stream`.
    """

    select: str
    repeat: Repeat
    by: str
    amendment: Amendment | None = None
    removed: tuple[str, ...] = ()
    holds: str | None = None
    needs: str | None = None

    @property
    def rules(self) -> tuple[str, str | None, str | None, list[str], str | None]:
        """What the SQL functions that classify and append take: repeat, amended, merge, removed, needs."""
        if self.amendment is None:
            return self.repeat, None, None, list(self.removed), self.needs
        return self.repeat, self.amendment.event_type, self.amendment.merge, list(self.removed), self.needs


@dataclass(frozen=True)
class Table:
    """A plain table. `key` is its primary key; `name` is schema-qualified."""

    name: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """Files recognised by their whole header, with types of their own for some fields.

    A type's `unwanted` declares what is not a sale, say: those records are skipped with the reason.
    `fields`, `rows`, `dates` and `zone` are as in `Options`; what the caller says about a field counts before them.
    """

    name: str
    header: frozenset[str]
    field_types: Mapping[str, FieldType] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
    dates: Mapping[str, str | Sequence[str]] = field(default_factory=dict)
    zone: str | None = None


@dataclass(frozen=True)
class Target:
    """`one_of`: of each group of fields one must be there; an earlier one counts before a later one.

    `settings_defaults` are defaults of required fields that nobody can guess: without a column, a constant and the
    setting, a file is refused before its first line.

    `variants` are further sorts of rows, {name: {field: its type for them}}, which the option `also` asks for; a
    profile's type for a field counts before it.

    `check` raises `ValueError` for values, by field, that do not go together. It sees the records of the slow path
    alone, which are all of a file with a column of JSON.
    """

    name: str
    fields: tuple[Field, ...]
    into: EventMapping | Table
    profiles: tuple[Profile, ...] = ()
    one_of: tuple[tuple[str, ...], ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    settings_defaults: Mapping[str, SettingDefault] = field(default_factory=dict)
    check: Callable[[Mapping[str, str | None]], None] | None = None
    variants: Mapping[str, Mapping[str, FieldType]] = field(default_factory=dict)
    by_name: Mapping[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {item.name: item for item in self.fields})

    def said_by(self, settings: Settings) -> dict[str, str]:
        """{field: value} of the defaults that the settings give."""
        found = {field: default.said_by(settings) for field, default in self.settings_defaults.items()}
        return {field: value for field, value in found.items() if value is not None}

    def profile_of(self, header: list[str]) -> Profile | None:
        names = frozenset(folded(name) for name in header)
        return next((profile for profile in self.profiles if profile.header <= names), None)

    def recognise(self, header: Sequence[str], taken: Collection[str]) -> dict[str, str]:
        """{column: field} for the columns whose names mean a field; a field's first name counts before its others."""
        found: dict[str, str] = {}
        by_name = {folded(column): column for column in reversed(header)}
        for item in self.fields:
            names = [folded(name) for name in (item.name, *item.synonyms)]
            column = next((by_name[name] for name in names if by_name.get(name) not in (None, *found)), None)
            if column is not None and item.name not in taken:
                found[column] = item.name
        return found


_registry: dict[str, Target] = {}


def register(target: Target) -> Target:
    """Add a target, or put another in the place of one of the same name."""
    _registry[target.name] = target
    return target


def unregister(name: str) -> None:
    _registry.pop(name, None)


def find_target(name: str) -> Target:
    try:
        return _registry[name]
    except KeyError:
        known = ", ".join(sorted(_registry))
        raise NotFound(f"no import target is called {name[:80]!r}; there are {known}", target=name[:80]) from None


def target_names() -> list[str]:
    return sorted(_registry)


def folded(name: str) -> str:
    """A header name without case, blanks and punctuation: `Customer ID` and `customer_id` are one name."""
    return re.sub(r"[\W_]+", "", name, flags=re.UNICODE).casefold()
