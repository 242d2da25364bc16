"""A file of which one row in a hundred has changed since it was loaded: the changed ones are written, the rest left."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import TARGET, imports

TABLE = "public.bench_orders"


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        clean, changed = contest.files.clean, contest.files.changed

        def upsert() -> float:
            contest.copy(clean, TABLE)
            speed = contest.ours(TARGET.name, changed)
            with bench.connect() as connection:
                updated = connection.execute("select updated from raw.imports").fetchone()
            if not updated or abs(updated[0] - contest.files.rows / 100) > contest.files.rows / 1000:
                raise RuntimeError(f"{updated} rows were updated")
            return speed

        found = bench.take_turns({"copy": lambda: contest.copy(clean, TABLE), "ours": upsert})
        yield Figure("import_upsert", "rows/s", found["ours"], found["copy"], at_least=0.40)
