"""Read the whole store in order, and remember how far a subscriber has come.

A subscriber reads up to `high_water_mark` (never further: see 20261121000300_penstock_read_events.sql) and moves its
checkpoint in the transaction that holds what it wrote: exactly once inside Postgres.
"""

from collections.abc import Sequence

from psycopg.rows import class_row

from penstock.event_store.events import RecordedEvent
from penstock.event_store.streams import EVENT_COLUMNS, MAX_PAGE
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors

_READ = f"select {EVENT_COLUMNS} from public.read_events(%s, %s, %s)"  # noqa: S608


def read_events(
    connection: Connection,
    *,
    after: int = 0,
    max_count: int = MAX_PAGE,
    event_types: Sequence[str] | None = None,
) -> list[RecordedEvent]:
    """Events of the whole store in order of position, after `after`; skips none that is still being committed."""
    wanted = list(event_types) if event_types is not None else None
    with translate_errors(), connection.cursor(binary=True, row_factory=class_row(RecordedEvent)) as cursor:
        return cursor.execute(_READ, (after, max_count, wanted)).fetchall()


def high_water_mark(connection: Connection) -> int:
    """The position up to which later statements see everything."""
    with translate_errors():
        row = connection.execute("select penstock.high_water_mark()").fetchone()
    assert row is not None
    return int(row[0])


def lock_checkpoint(connection: Connection, subscription: str) -> int:
    """The subscription's position, locked until the transaction ends; a new subscription starts at 0."""
    with translate_errors():
        connection.execute(
            "insert into ops.subscriptions (subscription) values (%s) on conflict do nothing", (subscription,)
        )
        row = connection.execute(
            "select position from ops.subscriptions where subscription = %s for update", (subscription,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def read_checkpoint(connection: Connection, subscription: str) -> int:
    """The subscription's position, 0 if it has none."""
    with translate_errors():
        row = connection.execute(
            "select position from ops.subscriptions where subscription = %s", (subscription,)
        ).fetchone()
    return int(row[0]) if row else 0


def move_checkpoint(connection: Connection, subscription: str, position: int) -> None:
    """Say that everything up to `position` is dealt with; part of the caller's transaction."""
    with translate_errors():
        connection.execute(
            "update ops.subscriptions set position = %s, updated_at = now() where subscription = %s",
            (position, subscription),
        )


def pass_over(connection: Connection, subscription: str, after: int, upto: int) -> None:
    """Move the checkpoint from `after` over positions without anything for the subscription; not if it has moved."""
    with translate_errors():
        connection.execute(_MOVE_UNLESS_MOVED, {"subscription": subscription, "after": after, "upto": upto})


_MOVE_UNLESS_MOVED = """
insert into ops.subscriptions as s (subscription, position) values (%(subscription)s, %(upto)s)
on conflict (subscription) do update set position = excluded.position, updated_at = now() where s.position = %(after)s
"""
