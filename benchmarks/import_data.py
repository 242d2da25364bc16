"""What the import benchmarks share: half a million realistic rows, the table for them, `\\copy`, and our importer."""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.harness import Bench, Unavailable
from penstock.ingest.files import Import, advance_import, create_import, register
from penstock.ingest.files.parse.types import Choice, Email, Identifier, Integer, Number, Text, Timestamp
from penstock.ingest.files.target import Field, Table, Target
from penstock.postgres import pool
from penstock.settings import Settings

ROWS = 500_000
ONE_IN, BAD_AT = 100, 17
"""Of a dirty file the rows whose number leaves 17 are bad."""
CURRENCIES = ("USD", "EUR", "GBP", "BRL", "JPY")
STATES = ("pending", "paid", "shipped", "delivered", "cancelled", "refunded")
NOTES = (
    "",
    "",
    "gift",
    '"leave at the door, please"',
    '"say ""hi"" to Bob"',
    '"Überraschung, Größe 42"',
    "call before",
)

TARGET = Target(
    "bench_orders",
    (
        Field("order_id", Identifier(64), True),
        Field("customer_email", Email(), True),
        Field("product_sku", Identifier(64), True),
        Field("quantity", Integer(1, 1_000_000), True),
        Field("unit_price", Number(10, 2), True),
        Field("currency", Choice(CURRENCIES), True),
        Field("status", Choice(STATES), True),
        Field("placed_at", Timestamp(), True),
        Field("note", Text(), False),
    ),
    Table("public.bench_orders", ("order_id",)),
)
TABLE = """
create table public.bench_orders (
  order_id text primary key check (length(order_id) <= 64), customer_email text not null, product_sku text not null,
  quantity integer not null check (quantity > 0), unit_price numeric(12, 2) not null check (unit_price >= 0),
  currency text not null check (currency in ('USD', 'EUR', 'GBP', 'BRL', 'JPY')),
  status text not null check (status in ('pending', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded')),
  placed_at timestamptz not null, note text
)
"""
LINES_TABLE = """
create table public.bench_lines (
  order_id text not null, product_id text not null, product_name text, quantity integer not null,
  ordered_at timestamptz not null, unit_price numeric not null, customer_id text, country text
)
"""


@dataclass
class Files:
    """The files, written on first use. All are the same on every machine."""

    folder: Path
    rows: int

    @cached_property
    def clean(self) -> Path:
        return self._write("clean.csv", bad=0)

    @cached_property
    def dirty(self) -> Path:
        return self._write("dirty.csv", bad=ONE_IN)

    @cached_property
    def changed(self) -> Path:
        """The clean file with another quantity in one row of a hundred."""
        return self._write("changed.csv", bad=0, changed=ONE_IN)

    @cached_property
    def lines(self) -> Path:
        """Order lines, about twenty an order."""
        rng, path = random.Random(5), self.folder / "lines.csv"
        with path.open("w") as file:
            file.write("order_id,product_id,product_name,quantity,ordered_at,unit_price,customer_id,country\n")
            number = order = 0
            while number < self.rows:
                order += 1
                size = min(rng.randrange(1, 39), self.rows - number)
                number += size
                moment = (
                    f"2025-{1 + order // 100 % 12:02d}-{1 + order // 40 % 28:02d} {order % 24:02d}:{order % 60:02d}:00"
                )
                customer = rng.randrange(20_000)
                for _ in range(size):
                    product = rng.randrange(4_000)
                    file.write(
                        f"{order + 100_000},SKU{product},PRODUCT NUMBER {product} IN RED,{rng.randrange(1, 30)},"
                        f"{moment},{rng.randrange(10, 9999) / 100:.2f},{customer},United Kingdom\n"
                    )
        return path

    def _write(self, name: str, *, bad: int, changed: int = 0) -> Path:
        rng, path = random.Random(7), self.folder / name
        with path.open("w") as file:
            file.write(",".join(item.name for item in TARGET.fields) + "\n")
            for number in range(self.rows):
                row = _row(rng, number)
                if bad and number % bad == BAD_AT:
                    _spoil(row, number // bad)
                if changed and number % changed == BAD_AT:
                    row[3] = "777"
                file.write(",".join(row) + "\n")
        return path


def tails(rng: random.Random, number: int) -> list[str]:
    """Rows without their order id, for files too large to make each row again."""
    return [",".join(_row(rng, 0)[1:]) for _ in range(number)]


def _row(rng: random.Random, number: int) -> list[str]:
    day = f"2025-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    return [
        f"ord-{number:08d}",
        f"user{rng.randrange(100_000)}@example{rng.randrange(50)}.com",
        f"SKU-{rng.randrange(5_000):05d}",
        str(rng.randrange(1, 50)),
        f"{rng.randrange(100, 99_999) / 100:.2f}",
        rng.choice(CURRENCIES),
        rng.choice(STATES),
        f"{day}T{rng.randrange(24):02d}:{rng.randrange(60):02d}:00Z",
        rng.choice(NOTES),
    ]


def _spoil(row: list[str], number: int) -> None:
    place, value = ((3, "-1"), (4, "12.345"), (7, "2025-02-30T00:00:00Z"), (5, "XXX"), (1, "nobody"))[number % 5]
    row[place] = value


@dataclass
class Imports:
    """Contestants: each makes its table ready, works, and gives rows a second."""

    bench: Bench
    files: Files
    settings: Settings

    def empty(self, table: str) -> None:
        self.bench.execute(f"truncate {table}; checkpoint")

    def copy(self, path: Path, table: str) -> float:
        """psql's `\\copy` of the file: checks what the table checks, keeps no rejects."""
        self.empty(table)
        began = time.perf_counter()
        command = ["psql", self.bench.url, "--quiet", "--no-psqlrc", "-c"]
        try:
            copy = f"\\copy {table} from '{path}' with (format csv, header)"
            subprocess.run([*command, copy], check=True, capture_output=True, text=True)
        except FileNotFoundError:
            raise Unavailable("psql is not installed: apt-get install postgresql-client") from None
        return self.files.rows / (time.perf_counter() - began)

    def ours(self, target: str, path: Path, table: str | None = None) -> float:
        """The whole of an import: the file stored, read, checked, loaded. `table` is emptied before."""
        if table:
            self.empty(table)
        self.forget()
        began = time.perf_counter()
        self.load(target, path)
        return self.files.rows / (time.perf_counter() - began)

    def forget(self) -> None:
        """As if no file had ever come in."""
        self.bench.execute("truncate raw.imports cascade")
        shutil.rmtree(self.settings.storage_folder, ignore_errors=True)

    def load(self, target: str, path: Path) -> Import:
        created, known = create_import(self.settings, target, path)
        if known:
            raise RuntimeError("this import was known: nothing would be measured")
        done = advance_import(self.settings, created.id)
        if done.state != done.loaded_state or done.rows_read != self.files.rows:
            raise RuntimeError(f"the import ended as {done.state}: {done.error}")
        return done

    def peak_memory_mb(self, target: str, path: Path) -> float:
        """The highest resident size of a process that does nothing but this import."""
        # not ru_maxrss, which begins with what the parent had
        script = (
            "import sys; from pathlib import Path; from benchmarks.import_data import worker; worker(*sys.argv[1:]);"
            "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
        )
        folder = str(self.settings.storage_folder)
        done = subprocess.run(
            [sys.executable, "-c", script, self.settings.database_url, folder, target, str(path)],
            capture_output=True,
            text=True,
            check=True,
        )
        return round(int(done.stdout.split()[-1]) / 1024, 1)


def empty_store(bench: Bench) -> None:
    """The store is append-only for everybody but a benchmark's superuser."""
    bench.execute(
        """alter table public.event_store disable trigger user;
           truncate public.event_store, penstock.streams;
           alter table public.event_store enable always trigger event_store_refuse_change;
           alter table public.event_store enable always trigger event_store_refuse_truncate;
           checkpoint"""
    )


def worker(url: str, folder: str, target: str, path: str) -> None:
    register(TARGET)
    settings = Settings(database_url=url, environment="local", currency="GBP", storage_folder=Path(folder))
    created, _ = create_import(settings, target, Path(path), options={"decimal": ".", "delimiter": ","})
    advance_import(settings, created.id)
    pool.close_pools()


@contextmanager
def imports(bench: Bench) -> Iterator[Imports]:
    register(TARGET)
    bench.execute(TABLE)
    bench.execute(LINES_TABLE)
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        files = Files(Path(folder), bench.scaled(ROWS))
        uploads = Path(folder) / "uploads"
        settings = Settings(database_url=bench.url, environment="local", currency="GBP", storage_folder=uploads)
        try:
            yield Imports(bench, files, settings)
        finally:
            pool.close_pools()
