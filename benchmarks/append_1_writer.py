"""One client appends single events, server side: pgbench calling the SQL function."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.server_side import contestants


def run(bench: Bench) -> Iterator[Figure]:
    found = bench.take_turns(contestants(bench, clients=1))
    ours, ceiling = found.pop("ours"), found.pop("bare")
    yield Figure("append_1_writer", "appends/s", ours, ceiling, found, at_least=0.75)
