"""A file whose rows are all in the table already, its hash unknown: compared, and nothing written."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import TARGET, imports

TABLE = "public.bench_orders"


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        path = contest.files.clean

        def again() -> float:
            speed = contest.ours(TARGET.name, path)
            with bench.connect() as connection:
                wrote = connection.execute("select loaded, duplicate from raw.imports").fetchone()
            if wrote != (0, contest.files.rows):
                raise RuntimeError(f"(loaded, duplicate) are {wrote}")
            return speed

        found = bench.take_turns({"copy": lambda: contest.copy(path, TABLE), "ours": again})
        yield Figure("import_again", "rows/s", found["ours"], found["copy"])
