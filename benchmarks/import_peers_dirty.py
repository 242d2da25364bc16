"""What each loader makes of a file with 1% bad rows: how many good ones arrive, how many bad ones, and how it ends.

One run each, after one on the clean file for the ratio to `\\copy`: what counts here is the rows.
"""

import subprocess
import time
from collections.abc import Callable, Iterator

from benchmarks.harness import Bench, Figure, Unavailable
from benchmarks.import_data import BAD_AT, ONE_IN, TARGET, Imports, imports
from benchmarks.peer_loaders import PEERS, TABLE, missing

_ARRIVED = """
select count(*) filter (where not bad), count(*) filter (where bad)
from (select substr(order_id, 5)::int %% %s = %s as bad from {table}) as arrived
"""


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        contest.copy(contest.files.clean, TABLE)
        ceiling = contest.copy(contest.files.clean, TABLE)
        path = contest.files.dirty
        ours, reported = _ended(contest, TABLE, lambda: contest.ours(TARGET.name, path, TABLE))
        with bench.connect() as connection:
            rejects = connection.execute("select count(*) from raw.import_rejects").fetchone()
        outcomes = {"ours": reported | {"reported_with_line_and_reason": rejects and rejects[0]}}
        _, outcomes["copy"] = _ended(contest, TABLE, lambda: contest.copy(path, TABLE))
        speeds = {}
        for name, peer in PEERS.items():
            if not peer.missing:
                speed, outcomes[name] = _ended(contest, peer.table, lambda peer=peer: peer.timed(contest, path))  # type: ignore[misc]
                speeds[name] = speed
        bad = sum(number % ONE_IN == BAD_AT for number in range(contest.files.rows))
        details = {"good_rows": contest.files.rows - bad, "bad_rows": bad, "outcomes": outcomes}
        yield Figure("import_peers_dirty", "rows/s", ours, ceiling, speeds, details=details)
    if absent := missing():
        raise Unavailable(absent)


def _ended(contest: Imports, table: str, load: Callable[[], float]) -> tuple[float, dict[str, object]]:
    """Rows a second (0 for a loader that failed), and what came of the file."""
    began = time.perf_counter()
    speed, end = 0.0, "loaded"
    try:
        speed = load()
    except Exception as error:  # noqa: BLE001  whatever a loader raises is its answer
        end = f"failed: {_reason(error)}"
    with contest.bench.connect() as connection:
        there = connection.execute("select to_regclass(%s)", (table,)).fetchone()
        found = (0, 0)
        if there and there[0]:
            found = connection.execute(_ARRIVED.format(table=table).encode(), (ONE_IN, BAD_AT)).fetchone() or found
    outcome = {"good_arrived": found[0], "bad_arrived": found[1], "seconds": round(time.perf_counter() - began, 1)}
    return speed, outcome | {"ended": end}


def _reason(error: Exception) -> str:
    """The first line of what the loader said; psql's and Postgres' own words where they are within."""
    if isinstance(error, subprocess.CalledProcessError):
        return str(error.stderr).strip().partition("\n")[0][:200]
    inner = error.__cause__ or error
    return str(getattr(inner, "orig", inner)).strip().partition("\n")[0][:200]
