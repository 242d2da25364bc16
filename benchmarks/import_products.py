"""A catalogue: 100,000 products that are new, then known, against `\\copy` of the same lines into a typed table.

And what a row costs with 10,000, 100,000 and 1,000,000 products stored: the ratio of the last to the first is near 1 if
the cost is flat. BENCH_SCALE scales all of these numbers.
"""

import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.harness import Bench, Figure
from benchmarks.import_data import Files, Imports, empty_store, imports

ROWS = 100_000
STORED = (10_000, 100_000, 1_000_000)
ROWS_OF_THE_CURVE = 10_000
TABLE = "public.bench_products"
HEADER = "product_id,name,category,unit_price,listed_at\n"


def run(bench: Bench) -> Iterator[Figure]:
    bench.execute(
        f"""create table {TABLE} (product_id text primary key, name text not null, category text,
              unit_price numeric, listed_at timestamptz)"""
    )
    with imports(bench) as contest:
        products = _with_rows(contest, bench.scaled(ROWS))
        path = _write(contest, "products.csv", 0, products.files.rows)

        def new() -> float:
            empty_store(bench)
            return products.ours("products", path)

        def known() -> float:
            speed = products.ours("products", path)
            with bench.connect() as connection:
                counts = connection.execute("select loaded, duplicate from raw.imports").fetchone()
            if counts != (0, products.files.rows):
                raise RuntimeError(f"(loaded, duplicate) are {counts}")
            return speed

        found = bench.take_turns({"copy": lambda: products.copy(path, TABLE), "new": new})
        # apart, since each turn needs the products where `new` has left them
        found |= bench.take_turns({"known": known})
        yield Figure("import_products", "rows/s", found["new"], found["copy"])
        yield Figure("import_products_known", "rows/s", found["known"], found["copy"])
        yield _curve(bench, contest)


def _curve(bench: Bench, contest: Imports) -> Figure:
    costs: dict[str, dict[str, float]] = {"new": {}, "known": {}}
    few = _with_rows(contest, bench.scaled(ROWS_OF_THE_CURVE))
    for stored in map(bench.scaled, STORED):
        taken: dict[str, list[float]] = {"new": [], "known": []}
        empty_store(bench)
        _store(bench, stored)
        for turn in range(bench.rounds + 1):  # the first warms
            start = stored + turn * few.files.rows
            path = _write(contest, "few.csv", start, few.files.rows)
            for which in ("new", "known"):
                cost = 1e6 / few.ours("products", path)
                taken[which] += [cost] if turn else []
        for which, values in taken.items():
            costs[which][f"{stored}"] = round(statistics.median(values), 1)
    first, *_, last = costs["new"].values()
    return Figure("import_products_curve", "µs/row", last, first, details={f"µs, {key}": costs[key] for key in costs})


def _with_rows(contest: Imports, rows: int) -> Imports:
    return replace(contest, files=Files(contest.files.folder, rows))


def _write(contest: Imports, name: str, start: int, rows: int) -> Path:
    path = contest.files.folder / name
    with path.open("w") as file:
        file.write(HEADER)
        for number in range(start, start + rows):
            file.write(
                f"P{number:07d},Lamp number {number},Light {number % 40},{number % 100}.25,2026-01-01T00:00:00Z\n"
            )
    return path


def _store(bench: Bench, number: int) -> None:
    """As an import would have stored them, and analysed as autovacuum would have."""
    with bench.connect() as connection:
        connection.execute(
            """with stored as (
                 insert into penstock.streams (aggregate_id, aggregate_type, version)
                 select 'P' || lpad(n::text, 7, '0'), 'product', 1 from generate_series(0, %s - 1) as n
                 returning aggregate_id)
               insert into public.event_store
                 (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version)
               select nextval('public.event_store_position_seq'), gen_random_uuid(), 'product', s.aggregate_id,
                 'ProductListed', jsonb_build_object('product_id', s.aggregate_id, 'name', 'Lamp', 'category', null),
                 '{"occurred_at": "2026-01-01T00:00:00Z"}', 1
               from stored as s""",
            (number,),
        )
        connection.execute("vacuum analyze public.event_store")
        connection.execute("vacuum analyze penstock.streams")
        connection.execute("checkpoint")
