"""Events a second into the read models of orders: from the checkpoint on, and a rebuild into the second copy."""

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from benchmarks.append_to_orders_latency import as_url
from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, timed
from penstock import database
from penstock.event_store import NewEvent, StreamAppend, append_bulk
from penstock.projections import advance, rebuild
from penstock.settings import Settings

EVENTS = 200_000
STEPS = ("OrderPlaced", "PaymentReceived", "OrderShipped", "OrderDelivered", "OrderCompleted")


def orders(number: int) -> Iterator[StreamAppend]:
    """Whole lives of orders, five events each."""
    run, payload, metadata = uuid.uuid4().hex[:8], json.loads(PAYLOAD), json.loads(METADATA)
    begin = datetime(2010, 12, 1, tzinfo=UTC)
    for order in range(number):
        moment = (begin + timedelta(seconds=37 * order)).isoformat()
        placed = {**payload, "order_id": f"{run}-{order}", "placed_at": moment}
        events = [
            NewEvent(step, placed if step == "OrderPlaced" else {}, {**metadata, "occurred_at": moment})
            for step in STEPS
        ]
        yield StreamAppend("order", f"{run}-{order}", "no_stream", events)


def run(bench: Bench) -> Iterator[Figure]:
    number = bench.scaled(EVENTS)
    settings = Settings(database_url=as_url(bench.url), environment="local")
    share = max(1, number // len(STEPS) // (bench.rounds + 1))
    stream = orders(share * (bench.rounds + 1))
    try:
        with bench.connect() as connection:

            def advanced() -> float:
                append_bulk(connection, islice(stream, share))
                return timed(lambda: advance(settings, "orders", seconds=600).events)

            found = bench.take_turns({"project_orders": advanced})
        rebuilt = bench.take_turns({"rebuild": lambda: timed(lambda: rebuild(settings, "orders").events)})
    finally:
        database.close_pools()
    details = {"events": share * (bench.rounds + 1) * len(STEPS)}
    yield Figure("project_orders", "events/s", found["project_orders"], details={**details, "wanted": 80_000})
    yield Figure("rebuild_orders", "events/s", rebuilt["rebuild"], details={**details, "wanted": 300_000})
