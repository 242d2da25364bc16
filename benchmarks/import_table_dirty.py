"""A file with 1% bad rows, every one reported by line and reason, against the clean file."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import TARGET, imports

TABLE = "public.bench_orders"


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        clean, dirty = contest.files.clean, contest.files.dirty
        found = bench.take_turns(
            {
                "clean": lambda: contest.ours(TARGET.name, clean, TABLE),
                "dirty": lambda: contest.ours(TARGET.name, dirty, TABLE),
            }
        )
        yield Figure("import_table_dirty", "rows/s", found["dirty"], found["clean"], at_least=0.87)
