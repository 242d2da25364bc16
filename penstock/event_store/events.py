"""The two shapes of an event: `NewEvent` is to be written, `RecordedEvent` was written."""

import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias
from uuid import UUID

from penstock.errors import InvalidInput

NO_STREAM: Final = "no_stream"
ANY_VERSION: Final = "any"
STREAM_EXISTS: Final = "stream_exists"

ExpectedVersion: TypeAlias = int | Literal["any", "no_stream", "stream_exists"]
"""What a stream must look like for an append: its exact version (0 is the same as `no_stream`), or a word."""

_CODES: Final[dict[str, int]] = {NO_STREAM: 0, ANY_VERSION: -1, STREAM_EXISTS: -2}
MAX_VERSION: Final = 2**31 - 1


def expected_version_code(expected: ExpectedVersion) -> int:
    """The number that the SQL functions take."""
    if isinstance(expected, str):
        if expected not in _CODES:
            raise InvalidInput(f"{expected!r} is none of {', '.join(_CODES)}", field="expected_version")
        return _CODES[expected]
    if not 0 <= expected <= MAX_VERSION:
        raise InvalidInput(f"{expected} is not from 0 to {MAX_VERSION}", field="expected_version")
    return expected


@contextmanager
def encodable() -> Iterator[None]:
    """Turn what no text or number of Postgres can hold into `InvalidInput`."""
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidInput("has half of a surrogate pair, which is not a character", field="events") from error
    except struct.error as error:
        raise InvalidInput(f"a schema_version is not a 32-bit number: {error}", field="schema_version") from error


def uuid7() -> UUID:
    """A UUID of version 7: ids made one after the other sort together, which keeps the id index cheap."""
    milliseconds = time.time_ns() // 1_000_000
    rest = int.from_bytes(os.urandom(10), "big")
    number = (milliseconds << 80) | rest
    number = number & ~(0xF << 76) | (0x7 << 76)
    return UUID(int=number & ~(0x3 << 62) | (0x2 << 62))


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be appended. The `id` makes a retry recognisable: keep it when you send again."""

    event_type: str
    payload: dict[str, Any]
    metadata: dict[str, Any] = field(default_factory=dict)
    id: UUID = field(default_factory=uuid7)
    schema_version: int = 1


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A stored event. `created_at` is when it was stored; when it happened is in `metadata`."""

    position: int
    id: UUID
    aggregate_type: str
    aggregate_id: str
    event_type: str
    payload: dict[str, Any]
    metadata: dict[str, Any]
    version: int
    schema_version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to an append: the stream's version after it, and each event's place in the store.

    `duplicate` says that these events were stored by an earlier call, whose answer this repeats.
    """

    version: int
    positions: tuple[int, ...]
    duplicate: bool

    @property
    def position(self) -> int:
        """The place of the last event; a read model that has passed it knows of the whole append."""
        return self.positions[-1]
