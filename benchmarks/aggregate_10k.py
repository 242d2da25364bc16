"""Loads of an aggregate of 10,000 events with snapshots, against one of 100 events: loads a second."""

from collections.abc import Iterator
from typing import Any

from benchmarks.harness import Bench, Figure, timed
from penstock.event_store import NewEvent, RecordedEvent, Reducer, append, load_aggregate

LOADS = 100
# As far from its last snapshot as the short one is from its beginning.
SHORT, LONG = 99, 10_099


def count(state: dict[str, Any], event: RecordedEvent) -> dict[str, Any]:
    return {"events": state["events"] + 1, "sum": state["sum"] + event.payload["delta"]}


REDUCER: Reducer[dict[str, Any]] = Reducer(
    "counter", 1, {"events": 0, "sum": 0}, count, dump=lambda state: state, restore=lambda state: state
)


def run(bench: Bench) -> Iterator[Figure]:
    connection = bench.connect()
    for name, number in (("short", SHORT), ("long", LONG)):
        events = [NewEvent("InventoryAdjusted", {"delta": n % 7, "reason": "count"}) for n in range(number)]
        append(connection, "inventory", name, "no_stream", events)

    def loads(name: str, number: int = LOADS) -> int:
        for _ in range(number):
            load_aggregate(connection, REDUCER, "inventory", name)
        return number

    def without() -> int:
        bench.execute("delete from penstock.snapshots")
        return loads("long", 1)

    bench.execute("vacuum analyze public.event_store")
    slow = timed(without)
    assert load_aggregate(connection, REDUCER, "inventory", "long").state["events"] == LONG
    found = bench.take_turns(
        {"short": lambda: timed(lambda: loads("short")), "long": lambda: timed(lambda: loads("long"))}
    )
    details = {"without_snapshots": round(slow, 1)}
    yield Figure("aggregate_10k", "loads/s", found["long"], found["short"], at_least=0.80, details=details)
