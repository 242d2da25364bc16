"""Other loaders of CSV files, each as its own documentation has it, into the benchmark's typed table.

`pip install --editable '.[peers]'` and `apt-get install pgloader` bring all of them.
"""

import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import url_of
from benchmarks.import_data import Imports

TABLE = "public.bench_orders"
COLUMNS = "order_id, customer_email, product_sku, quantity, unit_price, currency, status, placed_at, note"
BY_PIP = "pip install --editable '.[peers]'"


@dataclass(frozen=True)
class Peer:
    """`table` is where its rows go; `needs` are modules, or a program with how to get it."""

    load: Callable[[Imports, Path], None]
    needs: tuple[str, ...]
    install: str = BY_PIP
    table: str = TABLE

    @property
    def missing(self) -> str | None:
        absent = [name for name in self.needs if not (importlib.util.find_spec(name) or shutil.which(name))]
        return f"{', '.join(absent)} ({self.install})" if absent else None

    def timed(self, contest: Imports, path: Path) -> float:
        """Rows a second; the table is emptied before."""
        self.make_ready(contest)
        began = time.perf_counter()
        self.load(contest, path)
        return contest.files.rows / (time.perf_counter() - began)

    def make_ready(self, contest: Imports) -> None:
        contest.bench.execute(
            "drop schema if exists dlt_bench cascade; drop schema if exists dlt_bench_staging cascade"
        )
        contest.empty(TABLE)


def _pandas(contest: Imports, path: Path) -> None:
    """With the default method of `to_sql`: `multi` was seven times slower here."""
    pandas: Any = importlib.import_module("pandas")
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    schema, _, name = TABLE.partition(".")
    engine = sqlalchemy.create_engine(url_of(contest.bench.url).replace("postgresql://", "postgresql+psycopg://", 1))
    try:
        for frame in pandas.read_csv(path, chunksize=50_000, parse_dates=["placed_at"]):
            frame.to_sql(name, engine, schema=schema, if_exists="append", index=False)
    finally:
        engine.dispose()


def _polars(contest: Imports, path: Path) -> None:
    """By way of a table of its own, since it would write floats and texts: the typed table's checks come last."""
    polars: Any = importlib.import_module("polars")
    frame = polars.read_csv(path, try_parse_dates=True, schema_overrides={"unit_price": polars.String})
    frame.write_database(f"{TABLE}_polars", url_of(contest.bench.url), engine="adbc", if_table_exists="replace")
    contest.bench.execute(
        f"insert into {TABLE} select order_id, customer_email, product_sku, quantity, unit_price::numeric, currency,"
        f" status, placed_at::timestamptz, note from {TABLE}_polars"
    )


def _dlt(contest: Imports, path: Path) -> None:
    """Its fastest way in, as Arrow tables; it makes a table of its own, which has no checks."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    dlt: Any = importlib.import_module("dlt")
    arrow: Any = importlib.import_module("pyarrow.csv")
    with tempfile.TemporaryDirectory() as folder:
        destination = dlt.destinations.postgres(url_of(contest.bench.url))
        pipeline = dlt.pipeline("bench", destination=destination, dataset_name="dlt_bench", pipelines_dir=folder)
        pipeline.run(arrow.read_csv(path), table_name="bench_orders", write_disposition="replace")


def _pgloader(contest: Imports, path: Path) -> None:
    fields = COLUMNS.replace("note", "note [null if blanks]")
    with tempfile.TemporaryDirectory() as folder:
        command = Path(folder) / "bench.load"
        command.write_text(
            f"""load csv from '{path}' ({fields}) into {url_of(contest.bench.url)}?{TABLE} ({COLUMNS})
            with skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote,
            fields terminated by ',';"""
        )
        subprocess.run(
            ["pgloader", "--quiet", "--root-dir", folder, str(command)], check=True, capture_output=True, text=True
        )


PEERS = {
    "polars": Peer(_polars, ("polars", "adbc_driver_postgresql")),
    "dlt": Peer(_dlt, ("dlt", "pyarrow", "psycopg2"), table="dlt_bench.bench_orders"),
    "pandas": Peer(_pandas, ("pandas", "sqlalchemy")),
    "pgloader": Peer(_pgloader, ("pgloader",), "apt-get install pgloader"),
}


def missing() -> str:
    """What is not installed, and how to get it; empty if all is there."""
    return "; ".join(f"{name} needs {peer.missing}" for name, peer in PEERS.items() if peer.missing)
