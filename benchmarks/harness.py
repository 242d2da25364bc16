"""What every benchmark shares: one Postgres with fsync on, interleaved rounds, medians, and one JSON line a figure.

`BENCH_DATABASE_URL` names a server to use (a superuser's DSN); else an embedded one is started and removed. Figures
mean little by themselves on a shared machine: read the ratios, which come from rounds that take turns.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from penstock.postgres import migrations

PAYLOAD = json.dumps(
    {
        "order_id": "536365",
        "customer_id": "17850",
        "currency": "GBP",
        "country": "United Kingdom",
        "placed_at": "2010-12-01T08:26:00Z",
        "items": [
            {
                "product_id": "85123A",
                "name": "WHITE HANGING HEART T-LIGHT HOLDER",
                "quantity": 6,
                "unit_price": "2.550",
            },
            {"product_id": "71053", "name": "WHITE METAL LANTERN", "quantity": 6, "unit_price": "3.390"},
        ],
        "total": "35.640",
    }
)
METADATA = json.dumps(
    {
        "correlation_id": "0193d0f2-6c1e-7d3a-9b6e-0b8a3f1f6d10",
        "causation_id": None,
        "actor": "benchmark",
        "source": "http",
        "occurred_at": "2010-12-01T08:26:00Z",
    }
)

SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "statement_timeout": "0"}  # millions of rows in one statement


@dataclass
class Figure:
    """One result. `ratio` is ours to the ceiling, and each peer's to ours' ceiling."""

    name: str
    unit: str
    ours: float
    ceiling: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict)
    at_least: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def line(self) -> str:
        peers = {name: {"value": _short(value), "ratio": self._ratio(value)} for name, value in self.peers.items()}
        found: dict[str, object] = {"name": self.name, "ours": _short(self.ours), "unit": self.unit}
        found |= {"ceiling": _short(self.ceiling), "ratio": self._ratio(self.ours), "peers": peers}
        if self.at_least is not None:
            found["at_least"] = self.at_least
        return json.dumps(found | dict(self.details))

    def _ratio(self, value: float) -> float | None:
        return round(value / self.ceiling, 3) if self.ceiling else None


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


class Unavailable(Exception):
    """A part that a benchmark needs is missing; its text says which and how to get it."""


@dataclass(frozen=True)
class Bench:
    """What a benchmark gets: a migrated database of its own, and how long to measure."""

    url: str
    rounds: int
    seconds: float
    scale: float

    def connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url, autocommit=True, prepare_threshold=0)

    def execute(self, statement: str) -> None:
        with self.connect() as connection:
            connection.execute(statement.encode(), prepare=False)

    def scaled(self, number: int) -> int:
        """`number` at BENCH_SCALE=1; never fewer than a thousandth of it."""
        return max(number // 1000, int(number * self.scale), 1)

    def take_turns(self, contestants: Mapping[str, Callable[[], float]]) -> dict[str, float]:
        """Let each run once a round, beginning with another one each time; the medians."""
        names = list(contestants)
        for name in names:
            contestants[name]()  # warm
        found: dict[str, list[float]] = {name: [] for name in names}
        for number in range(self.rounds):
            start = number % len(names)
            for name in names[start:] + names[:start]:
                found[name].append(contestants[name]())
        for name in names:
            print(f"  {name:28} {' '.join(f'{value:12.5g}' for value in found[name])}", file=sys.stderr)
        return {name: statistics.median(values) for name, values in found.items()}

    def pgbench(self, script: str, clients: int, variables: Mapping[str, str] | None = None) -> float:
        """Transactions a second of a script that is prepared once; raises if any of them failed."""
        program = shutil.which("pgbench")
        if program is None:
            raise Unavailable("pgbench is not installed: apt-get install postgresql-contrib")
        given = {"run": uuid.uuid4().hex[:12], "n": "0", **(variables or {})}
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            command = [program, "--no-vacuum", "--protocol=prepared", f"--file={file.name}", f"--client={clients}"]
            command += [f"--jobs={min(clients, 2)}", f"--time={max(1, round(self.seconds))}"]
            command += [f"--define={name}={value}" for name, value in given.items()]
            done = subprocess.run([*command, self.url], capture_output=True, text=True, check=False)
        match = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
        if done.returncode or not match or "ABORTED" in done.stderr or "aborted" in done.stderr:
            raise RuntimeError(f"pgbench failed: {done.stdout}\n{done.stderr}")
        return float(match[1])


def copy_of_the_store(bench: Bench, name: str = "public.bare_store") -> str:
    """A table with the columns and indexes of the store and nothing else: what an INSERT or COPY could do at best."""
    sequence = f"{name}_position_seq"
    bench.execute(
        f"create table {name} (like public.event_store including all)"
        f" with (autovacuum_vacuum_insert_scale_factor = 0.05); create sequence {sequence} cache 1"
    )
    return name


def timed(work: Callable[[], int]) -> float:
    """Pieces a second, of what `work` says it did."""
    began = time.perf_counter()
    number = work()
    return number / (time.perf_counter() - began)


@contextmanager
def server() -> Iterator[str]:
    """The DSN of a server: the given one, or an embedded one with fsync on."""
    if given := os.environ.get("BENCH_DATABASE_URL"):
        yield given
        return
    from penstock.local.postgres import EmbeddedPostgres  # here: a process whose memory is measured needs none of it

    folder = Path(tempfile.mkdtemp(prefix="penstock-bench-"))
    folder.chmod(0o755)
    cluster = EmbeddedPostgres(folder / "postgres", settings=SERVER)
    try:
        yield cluster.start()
    finally:
        cluster.remove()
        shutil.rmtree(folder)


@contextmanager
def migrated_database(server_url: str) -> Iterator[str]:
    """A database of its own for one benchmark, dropped at the end."""
    name = sql.Identifier(f"penstock_bench_{uuid.uuid4().hex[:12]}")
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(name))
        url = make_conninfo(server_url, dbname=name.as_string().strip('"'))
        try:
            with psycopg.connect(url, autocommit=True) as fresh:
                migrations.migrate(fresh, folder=migrations.REPOSITORY)
            connection.execute("checkpoint")
            yield url
        finally:
            connection.execute(sql.SQL("drop database {} with (force)").format(name))


def url_of(dsn: str) -> str:
    """The same as an address, which is what settings and other loaders ask for."""
    parts = {"user": "postgres", "host": "127.0.0.1", "port": "5432", **conninfo_to_dict(dsn)}
    user = ":".join(quote(str(parts[name]), safe="") for name in ("user", "password") if parts.get(name))
    return f"postgresql://{user}@{parts['host']}:{parts['port']}/{parts['dbname']}"


def new_id(url: str) -> str:
    """SQL for an event id: version 7 where Postgres makes one, so that ids arrive in order."""
    with psycopg.connect(url) as connection:
        return "uuidv7()" if connection.info.server_version >= 180000 else "gen_random_uuid()"
