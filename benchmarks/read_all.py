"""The whole store in order by pages, through read_events, against one `select … order by position`, in Python both."""

from collections.abc import Iterator

from benchmarks.append_bulk import appends
from benchmarks.harness import Bench, Figure, timed
from penstock.event_store import append_bulk, read_events
from penstock.event_store.streams import EVENT_COLUMNS, MAX_PAGE

EVENTS = 100_000


def run(bench: Bench) -> Iterator[Figure]:
    number = bench.scaled(EVENTS)
    connection = bench.connect()
    append_bulk(connection, appends(number))
    bench.execute("vacuum analyze public.event_store")

    def pages() -> int:
        seen = after = 0
        while page := read_events(connection, after=after, max_count=MAX_PAGE):
            seen, after = seen + len(page), page[-1].position
        return seen

    def whole() -> int:
        with bench.connect() as other, other.transaction(), other.cursor("all", binary=True) as cursor:
            cursor.itersize = MAX_PAGE
            cursor.execute(f"select {EVENT_COLUMNS} from public.event_store order by position")
            return sum(1 for _ in cursor)

    found = bench.take_turns({"select": lambda: timed(whole), "ours": lambda: timed(pages)})
    yield Figure("read_all", "events/s", found["ours"], found["select"], at_least=0.70, details={"events": number})
