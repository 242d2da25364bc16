"""Order lines into streams of events, against `\\copy` of the same lines into a typed table."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import empty_store, imports

TABLE = "public.bench_lines"


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        path = contest.files.lines

        def ours() -> float:
            empty_store(bench)
            return contest.ours("orders", path)

        found = bench.take_turns({"copy": lambda: contest.copy(path, TABLE), "ours": ours})
        with bench.connect() as connection:
            row = connection.execute("select count(*), count(distinct aggregate_id) from public.event_store").fetchone()
        details = {"lines": contest.files.rows, "events": row and row[0], "streams": row and row[1]}
        yield Figure("import_events", "lines/s", found["ours"], found["copy"], at_least=0.25, details=details)
