"""Other loaders on the same file, for whoever wants to check the claim: BENCH_PEERS=1.

Each is run as its own documentation has it, into the same typed table; one that is not installed is left out.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.import_data import Imports

COLUMNS = "order_id, customer_email, product_sku, quantity, unit_price, currency, status, placed_at, note"


def peers(contest: Imports, path: Path, table: str) -> dict[str, Callable[[], float]]:
    """The loaders that are here, each as a function that gives rows a second."""
    if not os.environ.get("BENCH_PEERS"):
        return {}
    known: dict[str, tuple[bool, Callable[[Imports, Path, str], None]]] = {
        "pandas": (_has("pandas") and _has("sqlalchemy"), _pandas),
        "polars": (_has("polars") and _has("adbc_driver_postgresql"), _polars),
        "dlt": (_has("dlt"), _dlt),
        "pgloader": (shutil.which("pgloader") is not None, _pgloader),
    }
    for name, (here, _) in known.items():
        if not here:
            print(f"  {name} is not installed and left out", file=sys.stderr)
    return {name: _timed(load, contest, path, table) for name, (here, load) in known.items() if here}


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _timed(load: Callable[[Imports, Path, str], None], contest: Imports, path: Path, table: str) -> Callable[[], float]:
    def run() -> float:
        contest.empty(table)
        began = time.perf_counter()
        load(contest, path, table)
        return contest.files.rows / (time.perf_counter() - began)

    return run


def _pandas(contest: Imports, path: Path, table: str) -> None:
    pandas: Any = importlib.import_module("pandas")
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    schema, _, name = table.partition(".")
    engine = sqlalchemy.create_engine(_sqlalchemy_url(contest.settings.database_url))
    for frame in pandas.read_csv(path, chunksize=50_000, parse_dates=["placed_at"]):
        frame.to_sql(name, engine, schema=schema, if_exists="append", index=False, method="multi", chunksize=5_000)
    engine.dispose()


def _polars(contest: Imports, path: Path, table: str) -> None:
    polars: Any = importlib.import_module("polars")
    frame = polars.read_csv(path, try_parse_dates=True, schema_overrides={"unit_price": polars.String})
    staged = f"{table}_polars"
    frame.write_database(staged, _url(contest.settings.database_url), engine="adbc", if_table_exists="replace")
    contest.bench.execute(
        f"insert into {table} select order_id, customer_email, product_sku, quantity, unit_price::numeric, currency,"
        f" status, placed_at, note from {staged}"
    )


def _dlt(contest: Imports, path: Path, table: str) -> None:
    dlt: Any = importlib.import_module("dlt")
    arrow: Any = importlib.import_module("pyarrow.csv")
    with tempfile.TemporaryDirectory() as folder:
        url = _url(contest.settings.database_url)
        pipeline = dlt.pipeline(
            "bench", destination=dlt.destinations.postgres(url), dataset_name="dlt_bench", pipelines_dir=folder
        )
        pipeline.run(arrow.read_csv(path), table_name="bench_orders", write_disposition="replace")
    if not table:
        raise ValueError("dlt makes a table of its own")


def _pgloader(contest: Imports, path: Path, table: str) -> None:
    url = _url(contest.settings.database_url)
    fields = COLUMNS.replace("note", "note [null if blanks]")
    command = f"""load csv from '{path}' ({fields}) into {url}?{table} ({COLUMNS})
      with skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote,
      fields terminated by ',';"""
    with tempfile.NamedTemporaryFile("w", suffix=".load") as file:
        file.write(command)
        file.flush()
        subprocess.run(["pgloader", "--quiet", file.name], check=True, capture_output=True)


def _url(dsn: str) -> str:
    from psycopg.conninfo import conninfo_to_dict

    parts = {"password": "", "port": "5432", **conninfo_to_dict(dsn)}
    return f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def _sqlalchemy_url(dsn: str) -> str:
    return _url(dsn).replace("postgresql://", "postgresql+psycopg://", 1)
