"""How one file is read: as the caller says, or else as the last file with its header was (`remembered`)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, Final

from penstock.errors import InvalidInput
from penstock.ingest.files.options import Options
from penstock.ingest.files.parse.dialect import Dialect, sniff
from penstock.ingest.files.parse.joins import Join
from penstock.ingest.files.parse.sources import respelled
from penstock.ingest.files.parse.stream import BadFile
from penstock.ingest.files.plan import with_joined
from penstock.ingest.files.remembered import RememberedMapping, find_mapping, header_key, says_how
from penstock.ingest.files.target import folded
from penstock.postgres.pool import Connection

FRAMING: Final = frozenset({"format", "encoding", "delimiter", "quote", "escape", "skip_rows"})
"""Options that say how the text becomes records."""
_STRUCTURED: Final = ("fields", "rows")


@dataclass(frozen=True)
class Reading:
    """`key` is what the header is known by; `mapping` is the remembered one that the options are from."""

    options: Options
    dialect: Dialect
    key: str | None
    mapping: RememberedMapping | None = None

    @property
    def mapping_id(self) -> str | None:
        return str(self.mapping.id) if self.mapping else None

    @contextmanager
    def explained(self) -> Iterator[None]:
        """What is wrong with options that nobody has given just now is said with where they are from."""
        try:
            yield
        except BadFile:
            raise
        except InvalidInput as error:
            if not self.mapping:
                raise
            raise _with_hint(
                error, f"by the remembered mapping {self.mapping.id}; remember=false passes it over"
            ) from error


def _with_hint(error: InvalidInput, hint: str) -> InvalidInput:
    faults = error.details.get("errors")
    named = [{**fault, "reason": f"{fault['reason']} ({hint})"} for fault in faults] if isinstance(faults, list) else []
    return InvalidInput(f"{error} ({hint})", errors=named or [{"field": "remember", "reason": f"{error} ({hint})"}])


def choose_reading(
    connection: Connection, target: str, file: BinaryIO, options: Options, joins: Sequence[Join] = ()
) -> Reading:
    """Raises `BadFile`, or `InvalidInput` that names the option."""
    if says_how(options) or not options.remember:
        return Reading(options, sniff(file, options), _key_of(file, options, joins))
    plain = Reading(options, sniff(file, options), None)
    plain = replace(plain, key=header_key(with_joined(plain.dialect.header, joins)))
    mapping = find_mapping(connection, target, plain.key)
    if mapping is None:
        return plain
    with replace(plain, mapping=mapping).explained():
        return _by_mapping(file, options, plain, mapping)


def _by_mapping(file: BinaryIO, options: Options, plain: Reading, mapping: RememberedMapping) -> Reading:
    """The same header may be framed in another way, with another delimiter say, and spelled in another way."""
    said = {**mapping.options, **options.as_json()}
    dialect = sniff(file, Options.read(said))
    if header_key(dialect.header) != header_key(mapping.header):
        said = {name: value for name, value in said.items() if name not in FRAMING}
        dialect = sniff(file, Options.read(said))
    now = {folded(name): name for name in dialect.header}
    spelled = {name: now.get(folded(name), name) for name in mapping.header}
    return Reading(Options.read(_respelled(said, spelled)), dialect, plain.key, mapping)


def _respelled(said: Mapping[str, Any], spelled: Mapping[str, str]) -> dict[str, Any]:
    """Options whose columns are called as in this file."""
    columns = {spelled.get(name, name): field for name, field in said.get("mapping", {}).items()}
    return {
        name: columns if name == "mapping" else respelled(value, spelled) if name in _STRUCTURED else value
        for name, value in said.items()
    }


def _key_of(file: BinaryIO, options: Options, joins: Sequence[Join]) -> str | None:
    """By the header that is found without the options, and what is joined: the next file comes without options."""
    if options.header is not True:
        return None
    try:
        header = sniff(file, Options()).header
    except InvalidInput:
        header = sniff(file, options).header
    return header_key(with_joined(header, joins))
