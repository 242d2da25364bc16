"""Work the inbox: each pending delivery becomes an event, or fails with a reason and a dead letter.

One transaction for each delivery holds the event and the delivery's new state, so a crash leaves it pending; the
event's id depends on the delivery alone, so that nothing can be appended twice. Two workers at once share the work.

No delivery delays another. Whatever its content or its append raises, of any class, fails that delivery alone. When
the database fails it (a deadlock, a timeout, a lost connection), it stays pending, but goes behind all that are due:
the next attempt is after a pause that doubles, and the `MAX_ATTEMPTS`th failure is for good.
"""

from datetime import timedelta
from typing import Final

from psycopg.rows import class_row

from penstock.errors import DatabaseUnavailable, Unavailable
from penstock.event_store import ANY_VERSION, append
from penstock.ingest.webhooks.mapping import Delivery, read_delivery
from penstock.pipelines import dead_letters
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors
from penstock.redaction import error_text
from penstock.settings import Settings

MAX_DELIVERIES: Final = 1000
MAX_ATTEMPTS: Final = 10
FIRST_PAUSE: Final = timedelta(seconds=2)
MAX_REASON: Final = 2000


def append_deliveries(settings: Settings, *, limit: int = MAX_DELIVERIES) -> int:
    """Work up to `limit` pending deliveries, the oldest first; returns how many were worked.

    Raises `Unavailable` only if the inbox itself cannot be read or written.
    """
    for worked in range(limit):
        if not _work_next(settings):
            return worked
    return limit


def seconds_until_due(settings: Settings) -> float | None:
    """How long until a pending delivery may be worked, negative if one is due; None without any."""
    with pool.connection(settings) as connection:
        row = connection.execute(_UNTIL_DUE).fetchone()
    return row[0] if row else None


def _work_next(settings: Settings) -> bool:
    """False if no delivery is due."""
    delivery = None
    try:
        with pool.transaction(settings) as connection:
            delivery = _next_pending(connection)
            if delivery is not None:
                _work(connection, delivery)
    except Exception as error:
        if delivery is None:
            raise
        _put_off(settings, delivery, error)
    return delivery is not None


def _next_pending(connection: Connection) -> Delivery | None:
    with translate_errors(), connection.cursor(row_factory=class_row(Delivery)) as cursor:
        return cursor.execute(_NEXT).fetchone()


def _work(connection: Connection, delivery: Delivery) -> None:
    """Finish the delivery, or raise `Unavailable`: then nothing of it is done."""
    try:
        with translate_errors(), connection.transaction():
            meaning = read_delivery(delivery)
            append(connection, meaning.aggregate_type, meaning.aggregate_id, ANY_VERSION, [meaning.event])
    except Unavailable:
        raise
    except Exception as error:  # of any class: what this delivery is must not stop the next one
        if connection.closed:
            raise DatabaseUnavailable("the connection was lost", retry_after=2) from error
        _fail(connection, delivery, error)
    else:
        _finish(connection, delivery, "appended", None, [meaning.event.id])


def _put_off(settings: Settings, delivery: Delivery, error: Exception) -> None:
    """Keep it pending for later. Raises `Unavailable` if even that cannot be written: then nothing has changed."""
    with pool.connection(settings) as connection:
        row = connection.execute(_PUT_OFF, (FIRST_PAUSE, delivery.source, delivery.delivery_id)).fetchone()
    if row and row[0] >= MAX_ATTEMPTS:
        with pool.transaction(settings) as connection:
            _fail(connection, delivery, error)


def _fail(connection: Connection, delivery: Delivery, error: Exception) -> None:
    reason = _storable(error_text(error) if isinstance(error, Unavailable) else str(error) or type(error).__name__)
    _finish(connection, delivery, "failed", reason, [])
    about = {"received_at": delivery.received_at, "bytes": len(delivery.body)}
    dead_letters.park(connection, "delivery", delivery.source, delivery.delivery_id, reason, about)


def _storable(reason: str) -> str:
    """The reason may quote the delivery, with all that Postgres' text refuses."""
    return reason[:MAX_REASON].encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _finish(
    connection: Connection, delivery: Delivery, status: str, reason: str | None, event_ids: list[object]
) -> None:
    with translate_errors():
        connection.execute(_SETTLE, (status, reason, event_ids, delivery.source, delivery.delivery_id))


_NEXT = """
select source, delivery_id, body, received_at from raw.webhook_inbox
where status = 'pending' and due_at <= clock_timestamp() order by due_at limit 1 for update skip locked
"""
_UNTIL_DUE = """
select extract(epoch from min(due_at) - clock_timestamp())::float8 from raw.webhook_inbox where status = 'pending'
"""
_PUT_OFF = """
update raw.webhook_inbox set attempts = attempts + 1, due_at = clock_timestamp() + %s * 2 ^ least(attempts, 10)
where source = %s and delivery_id = %s and status = 'pending' returning attempts
"""
_SETTLE = """
update raw.webhook_inbox set status = %s, reason = %s, event_ids = %s, processed_at = clock_timestamp()
where source = %s and delivery_id = %s
"""
