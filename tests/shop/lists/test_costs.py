"""What a page costs with 200,000 rows: what an index says, whatever the database's collation and statistics are."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.postgres import listing
from penstock.postgres.pool import Connection, close_pools, connect
from shop.customers.queries import list_customers
from shop.orders.lists import OrderFilter, list_orders, list_orders_of_customer
from shop.products.queries import list_products
from tests import throwaway
from tests.real.clusters import running_cluster

DEBIANS_POSTGRES = Path("/usr/lib/postgresql/15/bin")
ROWS = 200_000
SHOWN = 100
FILL = f"""
insert into shop.orders (order_id, customer_id, status, currency, total, placed_at, version, placed_position, position)
select 'Ä' || n, 'c' || case when n % 2 = 0 then 0 else n % 5000 end,
  case when n % 20000 = 7 then 'paid' when n % 3 = 0 then 'cancelled' else 'completed' end,
  case when n % 50000 = 9 then 'JPY' else 'GBP' end, 1, '2020-01-01'::timestamptz + n / 7 * interval '1 minute', 1, n, n
from generate_series(1, {ROWS}) as n;
insert into shop.customers (customer_id, country, first_order_at)
select 'c' || n, case when n % 50000 = 9 then 'JP' else 'GB' end, now() from generate_series(1, {ROWS}) as n;
insert into shop.products (product_id, category)
select 'P' || n, case when n % 50000 = 9 then 'rare' else 'mugs' end from generate_series(1, {ROWS}) as n;
"""


@pytest.fixture(scope="module", params=["bytes", "en-US"])
def large(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database that sorts by bytes, as the tests' own do, and one that does not; to the planner both are foreign."""
    if request.param == "bytes":
        with throwaway.cloned_database(throwaway.EVERYTHING) as url:
            fill(url)
            yield url
            close_pools()
        return
    if not DEBIANS_POSTGRES.exists() and not os.environ.get("CI"):
        pytest.skip("Debian's postgresql-15 is not installed")
    with running_cluster(15) as cluster:
        with cluster.connect() as connection:
            connection.execute(
                "create database english template template0 locale_provider icu icu_locale 'en-US' encoding 'utf8'"
            )
        throwaway.migrate(cluster.dsn("english"), throwaway.EVERYTHING)
        fill(cluster.dsn("english"))
        yield cluster.dsn("english")
        close_pools()


def fill(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set session_replication_role = replica")
        connection.execute(FILL.encode())


PAGES: dict[str, Any] = {
    "all orders": lambda c, a: list_orders(c, OrderFilter(), after=a),
    "a status": lambda c, a: list_orders(c, OrderFilter(status="paid"), after=a),
    "cancelled": lambda c, a: list_orders(c, OrderFilter(status="cancelled"), after=a),
    "a large customer": lambda c, a: list_orders_of_customer(c, OrderFilter("c0"), after=a),
    "a small customer": lambda c, a: list_orders_of_customer(c, OrderFilter("c7"), after=a),
    "all customers": lambda c, a: list_customers(c, after=a),
    "a country": lambda c, a: list_customers(c, country="JP", after=a),
    "a prefix": lambda c, a: list_customers(c, prefix="c19", after=a),
    "all products": lambda c, a: list_products(c, after=a),
    "a category": lambda c, a: list_products(c, category="rare", after=a),
}
LOOKING: dict[str, Any] = {
    "a currency": lambda c, a: list_orders(c, OrderFilter(currency="JPY"), after=a),
    "completed": lambda c, a: list_orders(c, OrderFilter(status="completed"), after=a),
    "a status of a large customer": lambda c, a: list_orders(c, OrderFilter("c0", "paid"), after=a),
    "a status and a currency": lambda c, a: list_orders(c, OrderFilter(status="cancelled", currency="JPY"), after=a),
}


def rows_read(connection: Connection) -> int:
    """Index entries, and rows of full scans, that were read in the shop's tables by now."""
    connection.execute("select pg_stat_force_next_flush()")
    row = connection.execute(
        "select (select sum(idx_tup_read) from pg_stat_user_indexes where schemaname = 'shop')"
        " + (select sum(seq_tup_read) from pg_stat_user_tables where schemaname = 'shop')"
    ).fetchone()
    assert row
    return int(row[0])


@pytest.mark.parametrize("analyzed", [False, True])
def test_a_page_reads_little_more_than_it_shows(large: str, analyzed: bool) -> None:
    with connect(large) as connection:
        connection.execute("set jit = off")
        if analyzed:
            connection.execute("analyze")
        # a third is cancelled: of both queries the planner may go by time alone, and pass over the rest
        for most, pages in ((2 * SHOWN + 10, PAGES), (2 * 3 * listing.LOOKED_AT + SHOWN + 10, LOOKING)):
            for name, page in pages.items():
                after = None
                for _ in range(3):
                    before = rows_read(connection)
                    found = page(connection, after)
                    assert rows_read(connection) - before <= most, name
                    after = found["next"]
                    if after is None:
                        break


def test_ids_come_by_their_bytes_and_each_once(large: str) -> None:
    with connect(large) as connection:
        connection.execute("insert into shop.products (product_id) values ('ä'), ('B'), ('a'), ('Z'), ('É')")
        ids, after = [], None
        for _ in range(3):
            page = list_products(connection, after=after, max_count=2)
            ids, after = [*ids, *(row["product_id"] for row in page["products"])], page["next"]
        connection.execute("delete from shop.products where product_id in ('ä', 'B', 'a', 'Z', 'É')")
        assert ids == ["B", "P1", "P10", "P100", "P1000", "P10000"]


def test_looking_for_few_among_many_ends_with_all_of_them(large: str) -> None:
    with connect(large) as connection:
        for name, number in (("a currency", 4), ("a status and a currency", 2), ("a status of a large customer", 0)):
            after, found, pages = None, 0, 0
            while pages == 0 or after:
                page = LOOKING[name](connection, after)
                found, after, pages = found + len(page["orders"]), page["next"], pages + 1
            assert (name, found) == (name, number)
            assert pages <= ROWS // listing.LOOKED_AT + 1
