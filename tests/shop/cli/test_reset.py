"""`penstock reset` empties all that the shop keeps, its append-only history of stock too."""

from pathlib import Path

import psycopg
import pytest

from penstock.cli import main

KEPT = {"penstock.configuration", "penstock.upcasters", "ops.views", "ops.signed_calls", "raw.import_mappings"}
_TABLES = """
select format('%I.%I', n.nspname, c.relname), c.relfilenode
from pg_class as c inner join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname in ('public', 'ops', 'raw', 'staging', 'penstock', 'shop')
"""
_TRIGGERS = "select tgrelid, tgname, tgenabled from pg_trigger order by 1, 2"
STOCK = "product_id,quantity\nMUG,5\n"
ORDERS = "order_id,ordered_at,product_id,quantity,unit_price,currency\nA-1,2026-01-05,MUG,2,7.50,EUR\n"


@pytest.fixture(autouse=True)
def environment(database_url: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("PENSTOCK_ENV", "local")
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(project / "uploads"))
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY"):
        monkeypatch.delenv(name, raising=False)


def rows(connection: psycopg.Connection, name: str) -> int:
    row = connection.execute(f"select count(*) from {name}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_every_table_is_emptied_or_one_of_those_that_stay(project: Path, connection: psycopg.Connection) -> None:
    (project / "stock.csv").write_text(STOCK)
    (project / "orders.csv").write_text(ORDERS)
    assert main(["import", "stock.csv", "--target", "inventory"]) == 0
    assert main(["import", "orders.csv", "--target", "orders"]) == 0
    filled = ("shop.inventory_history", "shop.order_items", "public.daily_analytics", "public.monthly_revenue")
    assert [rows(connection, name) for name in filled] == [1, 1, 1, 1]
    before = dict(connection.execute(_TABLES).fetchall())
    triggers = connection.execute(_TRIGGERS).fetchall()
    assert main(["reset", "--yes"]) == 0
    after = dict(connection.execute(_TABLES).fetchall())
    # truncate gives a table a new file, also one that was empty
    assert {name for name, file in after.items() if before[name] == file} == KEPT
    assert {name: count for name in after if (count := rows(connection, name)) and name not in KEPT} == {}
    assert rows(connection, "public.monthly_revenue") == 0
    assert connection.execute(_TRIGGERS).fetchall() == triggers
    assert main(["import", "orders.csv", "--target", "orders"]) == 0
    assert [rows(connection, f"public.{name}") for name in ("daily_analytics", "monthly_revenue")] == [1, 1]
