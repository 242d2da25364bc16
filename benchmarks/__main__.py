"""Run benchmarks and print a JSON line for each figure.

Names on the command line choose; without one all run. BENCH_ROUNDS (5), BENCH_SECONDS (3) and BENCH_SCALE (1, the
share of the full number of rows) set how long. A benchmark whose parts are missing is passed over, all of them are
listed at the end, and the exit code is 1; BENCH_ALLOW_MISSING=1 makes it 0 where no name asked for them.
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Callable, Iterable

import benchmarks
from benchmarks.harness import Bench, Figure, Unavailable, migrated_database, server


def found() -> dict[str, Callable[[Bench], Iterable[Figure]]]:
    """Every module here that has a `run`, by name."""
    modules = {
        name: importlib.import_module(f"benchmarks.{name}")
        for _, name, _ in pkgutil.iter_modules(benchmarks.__path__)
        if name != "__main__"
    }
    return {name: module.run for name, module in modules.items() if hasattr(module, "run")}


def main(names: list[str]) -> int:
    known = found()
    if unknown := [name for name in names if name not in known]:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    rounds = int(os.environ.get("BENCH_ROUNDS", "5"))
    seconds = float(os.environ.get("BENCH_SECONDS", "3"))
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    missing: list[str] = []
    with server() as server_url:
        for name in names or known:
            print(f"{name} …", file=sys.stderr)
            try:
                with migrated_database(server_url) as url:
                    for figure in known[name](Bench(url, rounds, seconds, scale)):
                        print(figure.line(), flush=True)
            except Unavailable as error:
                missing.append(f"{name}: {error}")
    for line in missing:
        print(f"missing for {line}", file=sys.stderr)
    allowed = os.environ.get("BENCH_ALLOW_MISSING") == "1" and not names
    return 1 if missing and not allowed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
