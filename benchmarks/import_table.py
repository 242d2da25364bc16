"""A file into a table: checked, rejects split out, resumable, idempotent; against psql's `\\copy`, which checks less.

`import_peers` lets other loaders run on the same file in the same rounds.
"""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import TARGET, imports

TABLE = "public.bench_orders"
MEMORY_MB = 64


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        path = contest.files.clean
        found = bench.take_turns(
            {
                "copy": lambda: contest.copy(path, TABLE),
                "ours": lambda: contest.ours(TARGET.name, path, TABLE),
            }
        )
        contest.empty(TABLE)
        memory = contest.peak_memory_mb(TARGET.name, path)
        ceiling, ours = found.pop("copy"), found.pop("ours")
        details = {"rows": contest.files.rows, "peak_memory_mb": memory, "memory_at_most_mb": MEMORY_MB}
        yield Figure("import_table", "rows/s", ours, ceiling, at_least=0.75, details=details)
