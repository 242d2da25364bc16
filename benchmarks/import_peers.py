"""Other loaders on the same clean file in the same rounds: dlt, pandas, polars, pgloader, `\\copy`, and ours.

Every peer checks less than ours: see `import_peers_dirty`. Peers that are not installed are named at the end.
"""

from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Bench, Figure, Unavailable
from benchmarks.import_data import TARGET, imports
from benchmarks.peer_loaders import PEERS, TABLE, missing


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        path = contest.files.clean
        here = {name: partial(peer.timed, contest, path) for name, peer in PEERS.items() if not peer.missing}
        found = bench.take_turns(
            {
                "copy": lambda: contest.copy(path, TABLE),
                "ours": lambda: contest.ours(TARGET.name, path, TABLE),
                **here,
            }
        )
        ceiling, ours = found.pop("copy"), found.pop("ours")
        yield Figure("import_peers", "rows/s", ours, ceiling, found, details={"rows": contest.files.rows})
    if absent := missing():
        raise Unavailable(absent)
