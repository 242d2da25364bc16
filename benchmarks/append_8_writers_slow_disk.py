"""Eight clients append single events while a commit takes one millisecond longer, as on a network disk."""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.server_side import contestants


def run(bench: Bench) -> Iterator[Figure]:
    try:
        bench.execute("alter system set commit_delay = 1000")
        bench.execute("alter system set commit_siblings = 0")
        bench.execute("select pg_reload_conf()")
        found = bench.take_turns(contestants(bench, clients=8))
    finally:
        bench.execute("alter system reset commit_delay")
        bench.execute("alter system reset commit_siblings")
        bench.execute("select pg_reload_conf()")
    ours, ceiling = found.pop("ours"), found.pop("bare")
    yield Figure("append_8_writers_slow_disk", "appends/s", ours, ceiling, found, at_least=0.92)
