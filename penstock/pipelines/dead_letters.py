"""Dead letters: what failed for good, kept in `ops.dead_letters` until somebody retries or drops it.

Three kinds: an `event` that a subscription could not read (reference: its position), a `run` of an Inngest function
out of retries (the run's id), a webhook `delivery` without a place (the delivery's id). One open letter for each kind,
source and reference: a second failure counts up its attempts. How a kind is run again is the caller's to say.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from penstock import json_codec
from penstock.errors import AlreadyResolved, InvalidInput, NotFound
from penstock.postgres import pool
from penstock.postgres.paging import take
from penstock.postgres.pool import Connection, translate_errors
from penstock.redaction import error_text, redact
from penstock.settings import Settings

Kind: TypeAlias = Literal["event", "run", "delivery"]
Resolution: TypeAlias = Literal["retried", "dropped"]
MAX_PAGE = 1000


@dataclass(frozen=True, slots=True)
class DeadLetter:
    id: UUID
    kind: Kind
    source: str
    reference: str | None
    reason: str
    payload: dict[str, Any]
    attempts: int
    created_at: datetime
    resolved_at: datetime | None
    resolution: Resolution | None


Retry: TypeAlias = Callable[[Connection, DeadLetter], None]


def park(
    connection: Connection, kind: Kind, source: str, reference: str | None, reason: str, payload: Mapping[str, Any]
) -> UUID:
    """Keep what failed, as part of the caller's transaction; the same again is the same letter, one attempt more.

    What somebody has dropped stays dropped.
    """
    values = (kind, source, reference, redact(reason), Jsonb(dict(payload), dumps=json_codec.dumps))
    with translate_errors():
        row = connection.execute(_PARK, values).fetchone()
    assert row is not None
    found: UUID = row[0]
    return found


def list_dead_letters(
    connection: Connection, *, resolved: bool = False, kind: Kind | None = None, source: str | None = None,
    limit: int = 100,
) -> list[DeadLetter]:  # fmt: skip
    """The open letters, or those that are done with, the latest first; at most 1,000."""
    return page_of_dead_letters(connection, resolved=resolved, kind=kind, source=source, after=None, limit=limit)[0]


def page_of_dead_letters(
    connection: Connection, *, resolved: bool, kind: Kind | None, source: str | None, after: UUID | None, limit: int
) -> tuple[list[DeadLetter], bool]:
    """`list_dead_letters` beyond the letter `after`, and whether there are more; at most 4 MB of them.

    Raises `InvalidInput` if there is no letter `after`.
    """
    limit = min(limit, MAX_PAGE)
    values = {"resolved": resolved, "kind": kind, "source": source, "after": after, "limit": limit + 1}
    if after is not None and not _exists(connection, after):
        raise InvalidInput("is not the last letter of a page", field="after")
    with connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        letters, more = take(cursor, _LIST, values, limit, _size)
    return list(letters), more


def _exists(connection: Connection, letter_id: UUID) -> bool:
    with translate_errors():
        return connection.execute("select from ops.dead_letters where id = %s", (letter_id,)).rowcount > 0


def _size(letter: DeadLetter) -> int:
    return len(json_codec.dumps(asdict(letter)).encode())


def find_dead_letter(connection: Connection, letter_id: UUID) -> DeadLetter:
    """One letter, open or done with; raises `NotFound`."""
    with translate_errors(), connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        letter = cursor.execute(f"{_SELECT} where id = %s", (letter_id,)).fetchone()
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    return letter


def retry(settings: Settings, letter_id: UUID, by_kind: Mapping[Kind, Retry]) -> DeadLetter:
    """Run a letter again in one transaction with marking it `retried`; if that fails too, it stays open.

    Raises `NotFound`, `AlreadyResolved`, and what the retry itself raises.
    """
    try:
        with pool.transaction(settings) as connection:
            letter = _lock_open(connection, letter_id)
            by_kind[letter.kind](connection, letter)
            _resolve(connection, letter_id, "retried")
            return letter
    except Exception as error:
        _count_attempt(settings, letter_id, error_text(error))
        raise


def drop(settings: Settings, letter_id: UUID) -> DeadLetter:
    """Give a letter up: it is kept, marked `dropped`. Raises `NotFound` or `AlreadyResolved`."""
    with pool.transaction(settings) as connection:
        letter = _lock_open(connection, letter_id)
        _resolve(connection, letter_id, "dropped")
        return letter


def _lock_open(connection: Connection, letter_id: UUID) -> DeadLetter:
    with translate_errors(), connection.cursor(row_factory=class_row(DeadLetter)) as cursor:
        letter = cursor.execute(f"{_SELECT} where id = %s for update", (letter_id,)).fetchone()
    if letter is None:
        raise NotFound(f"there is no dead letter {letter_id}")
    if letter.resolution is not None:
        raise AlreadyResolved(f"the dead letter {letter_id} was {letter.resolution} already")
    return letter


def _resolve(connection: Connection, letter_id: UUID, resolution: Resolution) -> None:
    with translate_errors():
        connection.execute("select penstock.resolve_dead_letters(%s, %s)", ([letter_id], resolution))


def _count_attempt(settings: Settings, letter_id: UUID, reason: str) -> None:
    with pool.connection(settings) as connection:
        connection.execute(
            "update ops.dead_letters set attempts = attempts + 1, reason = %s where id = %s and resolved_at is null",
            (reason, letter_id),
        )


_PARK = "select penstock.park_dead_letter(%s, %s, %s, %s, %s)"
_SELECT = """
select id, kind, source, reference, reason, payload, attempts, created_at, resolved_at, resolution from ops.dead_letters
"""
_LIST = f"""
{_SELECT}
where (resolved_at is not null) = %(resolved)s
  and (%(kind)s::text is null or kind = %(kind)s) and (%(source)s::text is null or source = %(source)s)
  and (
    %(after)s::uuid is null
    or (created_at, id) < (select l.created_at, l.id from ops.dead_letters as l where l.id = %(after)s)
  )
order by created_at desc, id desc limit %(limit)s
"""  # noqa: S608 - a constant of this module
