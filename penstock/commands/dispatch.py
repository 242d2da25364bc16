"""The way of every command: load, decide, append under the version that was loaded; again if another was faster.

A command with an idempotency key gets event ids derived from it. A repeat finds the first event by its id and answers
as the first time; the same key with another request is refused.
"""

import hashlib
import json
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID, uuid5

from penstock.errors import EventIdReused, PenstockError, Unavailable, VersionConflict
from penstock.event_store import Appended, NewEvent, append, uuid7
from penstock.payloads import Payload
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.settings import Settings

S = TypeVar("S")
T = TypeVar("T")

ATTEMPTS: Final = 6
_NAMESPACE: Final = UUID("6f1a4f0e-5b0a-5c35-9a77-3d1f6f4c2b51")


@dataclass(frozen=True)
class CommandContext:
    """Who asks, when, and what it belongs to; it ends up in the metadata of every event."""

    now: datetime
    actor: str
    source: str
    correlation_id: str
    causation_id: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Earlier:
    """The main event of the same command, stored by an earlier call."""

    aggregate_id: str
    version: int
    position: int


@dataclass(frozen=True)
class CommandAnswer(Generic[S]):
    """The aggregate after the command. `duplicate`: an earlier call with the same idempotency key did it.

    A read model that has passed `position` knows of all that the command did.
    """

    aggregate_id: str
    state: S
    version: int
    position: int
    duplicate: bool


class Identity:
    """The ids of one command's events, and how a repeat of it is recognised."""

    def __init__(self, context: CommandContext, command: str, target: str | None, body: Payload) -> None:
        self._key = context.idempotency_key
        self._actor = context.actor
        request = json.dumps([command, target, body.as_json()], sort_keys=True, ensure_ascii=False)
        self._request_hash = hashlib.sha256(request.encode()).hexdigest()
        self.main = self.event_id("")

    def event_id(self, label: str) -> UUID:
        """Of the event with this label; the same in each repeat if there is a key, else fresh."""
        if self._key is None:
            return uuid7()
        return uuid5(_NAMESPACE, "\n".join((self._actor, self._key, label)))

    def metadata(self) -> dict[str, Any]:
        if self._key is None:
            return {}
        return {"idempotency_key": self._key, "request_hash": self._request_hash}

    def find_earlier(self, connection: Connection) -> Earlier | None:
        """What an earlier call with this key stored; raises `EventIdReused` if that was another request."""
        if self._key is None:
            return None
        with translate_errors():
            row = connection.execute(_FIND, (self.main,)).fetchone()
        if row is None:
            return None
        aggregate_id, version, position, request_hash = row
        if request_hash != self._request_hash:
            raise EventIdReused("this idempotency key was used for another request", idempotency_key=self._key)
        return Earlier(aggregate_id, version, position)


_FIND = """
select aggregate_id, version, position, metadata ->> 'request_hash' from public.event_store where id = %s
"""


class Recorder:
    """Appends what a command decided, within its transaction."""

    def __init__(self, connection: Connection, context: CommandContext, identity: Identity) -> None:
        self._connection = connection
        self._context = context
        self._identity = identity

    def append_main(self, stream: tuple[str, str], version: int, payload: Payload, occurred_at: datetime) -> Appended:
        """The event that the command is about. Append it last: its position then covers the whole command."""
        metadata = self._metadata(self._context.causation_id, occurred_at) | self._identity.metadata()
        return self._append(stream, version, [NewEvent(*_content(payload), metadata, self._identity.main)])

    def append_consequences(self, stream: tuple[str, str], version: int, payloads: Sequence[Payload]) -> None:
        """Events in other streams, caused by the main event."""
        if not payloads:
            return
        metadata = self._metadata(str(self._identity.main), self._context.now)
        ids = [self._identity.event_id("/".join((*stream, str(number)))) for number in range(len(payloads))]
        events = [NewEvent(*_content(payload), metadata, id) for payload, id in zip(payloads, ids, strict=True)]
        self._append(stream, version, events)

    def _append(self, stream: tuple[str, str], version: int, events: list[NewEvent]) -> Appended:
        return append(self._connection, *stream, version, events)

    def _metadata(self, causation_id: str | None, occurred_at: datetime) -> dict[str, Any]:
        return {
            "correlation_id": self._context.correlation_id,
            "causation_id": causation_id,
            "actor": self._context.actor,
            "source": self._context.source,
            "occurred_at": occurred_at,
        }


def _content(payload: Payload) -> tuple[str, dict[str, Any]]:
    return type(payload).__name__, payload.as_json()


def in_transaction(settings: Settings, identity: Identity, attempt: Callable[[Connection], T]) -> T:
    """Run `attempt` in a transaction; again with fresh state while others win the race, a few times."""
    for number in range(1, ATTEMPTS + 1):
        try:
            with pool.transaction(settings) as connection:
                return attempt(connection)
        except PenstockError as error:
            if number == ATTEMPTS or not (_worth_another_try(error) or _twin_was_faster(settings, identity, error)):
                raise
            time.sleep(random.uniform(0, 0.005 * 2**number))  # noqa: S311 - spreads racers, guards nothing
    raise AssertionError("unreachable")


def _worth_another_try(error: PenstockError) -> bool:
    """A lost race, or a deadlock that Postgres broke. `EventIdReused` too: a concurrent duplicate was faster."""
    if isinstance(error, EventIdReused):
        return "idempotency_key" not in error.details
    return isinstance(error, VersionConflict) or type(error) is Unavailable


def _twin_was_faster(settings: Settings, identity: Identity, refusal: PenstockError) -> bool:
    """Whether a concurrent duplicate was stored meanwhile, hence the refusal: the next try answers as it was."""
    if isinstance(refusal, Unavailable):
        return False
    with pool.connection(settings) as connection:
        return identity.find_earlier(connection) is not None


def lock_streams(connection: Connection, streams: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], int]:
    """Lock those of the streams (type and id) that exist until the transaction ends; returns their versions.

    All in one call, for only there they are taken in the order that all writers keep.
    """
    if not streams:
        return {}
    types, ids = zip(*streams, strict=True)
    with translate_errors():
        rows = connection.execute("select * from penstock.lock_streams(%s, %s)", (list(types), list(ids)))
        return {(aggregate_type, aggregate_id): version for aggregate_type, aggregate_id, version in rows}


def evolved(evolve: Callable[[S, str, dict[str, Any]], S], state: S, decided: Payload) -> S:
    """The state after what was decided."""
    return evolve(state, type(decided).__name__, decided.as_json())
