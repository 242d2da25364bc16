"""The memory of an importing process while files grow: it must not grow with them.

Two files of orders, one ten times the other, into the table and into events. `import_5gb` has the curve of a large one.
"""

from collections.abc import Iterator

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import TARGET, Imports, imports

AT_MOST_MB = 150


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        whole = contest.files.rows
        for target, table in ((TARGET.name, "public.bench_orders"), ("orders", "public.bench_lines")):
            curve = {}
            for rows in (whole // 10, whole):
                curve[f"{rows} rows"] = _peak(contest, target, table, rows)
            highest = max(curve.values())
            details = {"target": target, "curve_mb": curve, "at_most_mb": AT_MOST_MB}
            yield Figure(f"import_memory_{target}", "MB", highest, details=details)


def _peak(contest: Imports, target: str, table: str, rows: int) -> float:
    contest.empty(table)
    contest.forget()
    for name in ("clean", "lines"):
        contest.files.__dict__.pop(name, None)
    contest.files.rows = rows
    return contest.peak_memory_mb(target, contest.files.clean if target == TARGET.name else contest.files.lines)
