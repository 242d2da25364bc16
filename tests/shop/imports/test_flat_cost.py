"""What an import reads of the store depends on its own lines, not on how much is stored. Rows are counted, not time."""

import json
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from psycopg import sql

from penstock.ingest.files import Import, advance_import, create_import, dry_run
from penstock.postgres.pool import close_pools
from penstock.settings import Settings
from tests import throwaway
from tests.waiting import PATIENCE_SECONDS

STORED = 12_000
"""More than a range, and enough that reading all of it would show."""
PAID = 3_000
"""Orders from this number on are paid, so that those before have the events of their own file alone."""
Lines = Callable[[range], str]
OTHERS = """select count(*) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'"""


def events(numbers: range) -> str:
    return "\n".join(
        json.dumps(
            {
                "aggregate_type": "parcel",
                "aggregate_id": f"E{number}",
                "event_type": "parcel.scanned",
                "payload": {"number": number},
                "id": f"scan-{number}",
                "occurred_at": "2026-01-01T00:00:00Z",
            }
        )
        for number in numbers
    )


def table(header: str, line: str) -> Lines:
    return lambda numbers: header + "\n" + "".join(line.format(number) + "\n" for number in numbers)


FILES: dict[str, Lines] = {
    "products": table("sku,name,category,listed_at", "P{0},Lamp {0},Light,2026-01-01"),
    "customers": table("id,name,registered_at", "C{0},Ann {0},2026-01-01"),
    "inventory": table("sku,delta,reference", "P{0},5,r{0}"),
    "orders": table("order_id,product_id,quantity,ordered_at,unit_price", "O{0},P{0},1,2026-01-01,2.5"),
    "payments": lambda numbers: (
        "payment_id,order_id,amount,paid_at,refunded_amount\n"
        + "".join(f"ch_{n},O{PAID + n % (STORED - PAID)},2.5,2026-01-01,{n % 2}\n" for n in numbers)
    ),
    "events": events,
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A store of many streams. To the planner the default collation is none of bytes, whatever the database's is."""
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        folder = tmp_path_factory.mktemp("uploads")
        settings = Settings(database_url=url, environment="local", currency="GBP", storage_folder=folder)
        for target, lines in FILES.items():
            assert load(settings, target, lines(range(STORED))).loaded == STORED
        yield settings
        close_pools()


def load(settings: Settings, target: str, text: str) -> Import:
    created, _ = create_import(settings, target, text.encode())
    return advance_import(settings, created.id)


def rows_read(settings: Settings, work: Callable[[], object]) -> int:
    """Rows of the store and of its streams that `work` has read, by whatever scan."""
    counted = sql.SQL(
        """select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_all_tables
           where schemaname in ('public', 'penstock') and relname in ('event_store', 'streams')"""
    )
    found = []
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        for step in (lambda: None, work):
            close_pools()
            step()
            close_pools()  # a session's counts are there when it has ended
            deadline = time.monotonic() + PATIENCE_SECONDS
            while connection.execute(OTHERS).fetchone() != (0,) and time.monotonic() < deadline:
                time.sleep(0.01)
            connection.execute("select pg_stat_clear_snapshot()")
            row = connection.execute(counted).fetchone()
            assert row is not None
            found.append(int(row[0]))
    return found[1] - found[0]


@pytest.mark.parametrize("statistics", ["none", "some"])
@pytest.mark.parametrize("target", FILES)
def test_two_lines_read_no_more_of_a_large_store(filled: Settings, target: str, statistics: str) -> None:
    if statistics == "some":
        with psycopg.connect(filled.database_url, autocommit=True) as connection:
            connection.execute("analyze public.event_store; analyze penstock.streams")
    start = STORED + (100 if statistics == "some" else 0)
    new, known = FILES[target](range(start, start + 2)), FILES[target](range(4, 6)) + "\n" * (start - STORED + 1)
    assert rows_read(filled, lambda: dry_run(filled, target, new.encode())) < 100
    assert rows_read(filled, lambda: load(filled, target, new)) < 100
    assert rows_read(filled, lambda: load(filled, target, known)) < 100


@pytest.mark.parametrize("target", FILES)
def test_a_known_file_reads_each_of_its_rows_a_few_times(filled: Settings, target: str) -> None:
    lines = 2_000
    text = FILES[target](range(lines)) + "\n\n"
    # a payment looks at its order's stream for what was given back of it before
    times = 30 if target == "payments" else 8
    assert rows_read(filled, lambda: load(filled, target, text)) < times * lines
