"""Work the inbox: each pending delivery becomes an event, or fails with a reason and a dead letter.

One transaction for each delivery holds the event and the delivery's new state, so a crash leaves it pending; the
event's id depends on the delivery alone, so that nothing can be appended twice. Two workers at once share the work.
"""

from typing import Final

from psycopg.rows import class_row

from penstock import database
from penstock.database import Connection, translated
from penstock.errors import Conflict, InvalidInput
from penstock.event_store import ANY_VERSION, append
from penstock.operations import dead_letters
from penstock.settings import Settings
from penstock.webhooks.mapping import Delivery, read_delivery

MAX_DELIVERIES: Final = 1000


def append_deliveries(settings: Settings, *, limit: int = MAX_DELIVERIES) -> int:
    """Work up to `limit` pending deliveries, the oldest first; returns how many were worked."""
    for worked in range(limit):
        with database.transaction(settings) as connection:
            delivery = _next_pending(connection)
            if delivery is None:
                return worked
            _work(connection, delivery)
    return limit


def _next_pending(connection: Connection) -> Delivery | None:
    with translated(), connection.cursor(row_factory=class_row(Delivery)) as cursor:
        return cursor.execute(_NEXT).fetchone()


def _work(connection: Connection, delivery: Delivery) -> None:
    try:
        with translated(), connection.transaction():
            meaning = read_delivery(delivery)
            append(connection, meaning.aggregate_type, meaning.aggregate_id, ANY_VERSION, [meaning.event])
    except (InvalidInput, Conflict) as error:
        _fail(connection, delivery, str(error))
    else:
        _settle(connection, delivery, "appended", None, [meaning.event.id])


def _fail(connection: Connection, delivery: Delivery, reason: str) -> None:
    _settle(connection, delivery, "failed", reason, [])
    about = {"received_at": delivery.received_at, "bytes": len(delivery.body)}
    dead_letters.park(connection, "delivery", delivery.source, delivery.delivery_id, reason, about)


def _settle(
    connection: Connection, delivery: Delivery, status: str, reason: str | None, event_ids: list[object]
) -> None:
    with translated():
        connection.execute(_SETTLE, (status, reason, event_ids, delivery.source, delivery.delivery_id))


_NEXT = """
select source, delivery_id, body, received_at from raw.webhook_inbox
where status = 'pending' order by received_at limit 1 for update skip locked
"""
_SETTLE = """
update raw.webhook_inbox set status = %s, reason = %s, event_ids = %s, settled_at = clock_timestamp()
where source = %s and delivery_id = %s
"""
