"""A week of real grocery baskets with their catalogue, through the importer, against what another engine computed.

Here a line says what it cost, not what a piece cost, and a product's category stands in another file.
"""

import csv
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from penstock import views
from penstock.ingest.files import advance_import, create_import
from penstock.postgres.pool import close_pools, connect
from penstock.projections import advance_all
from penstock.settings import Settings
from shop import figures
from tests import throwaway

DATA = Path(__file__).parents[2] / "data" / "complete_journey"


def answers(name: str) -> list[dict[str, str]]:
    with (DATA / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def week(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    with throwaway.cloned_database(throwaway.EVERYTHING) as url:
        settings = Settings(
            database_url=url, environment="local", storage_folder=tmp_path_factory.mktemp("storage") / "uploads"
        )
        for target, name in (("products", "products"), ("orders", "transactions")):
            created, _ = create_import(settings, target, (DATA / f"{name}.csv.gz").read_bytes())
            done = advance_import(settings, created.id, seconds=120)
            assert done.state == "completed", done.error
            assert done.rows_read == done.loaded + done.rejected + done.duplicate
            advance_all(settings)
        figures.run_range(settings, date(2017, 1, 1), date(2017, 1, 7))
        with connect(url) as connection:
            yield connection
        close_pools()


def test_the_days_of_the_week(week: psycopg.Connection) -> None:
    rows = reversed(views.read_view(week, "daily_analytics").rows)
    assert [(str(row["day"]), row["order_count"], row["total_revenue"]) for row in rows] == [
        (day["date"], int(day["order_count"]), Decimal(day["revenue"])) for day in answers("daily")
    ]


def test_the_top_five_categories_of_the_week(week: psycopg.Connection) -> None:
    rows = week.execute(
        """
        select i.category, sum(i.amount), sum(i.quantity), count(distinct i.order_id)
        from shop.order_items as i group by i.category order by 2 desc limit 5
        """
    ).fetchall()
    assert rows == [
        (each["category"], Decimal(each["revenue"]), int(each["units"]), int(each["orders"]))
        for each in answers("top5_categories")
    ]


def test_the_items_add_up_to_their_orders_and_keep_their_category(week: psycopg.Connection) -> None:
    unequal = week.execute(
        """
        select o.order_id from shop.orders as o
        join (select order_id, sum(amount) as amount from shop.order_items group by order_id) as i using (order_id)
        where o.total <> i.amount
        """
    ).fetchall()
    assert unequal == []
    astray = week.execute(
        """
        select i.* from shop.order_items as i left join shop.products as p using (product_id)
        where i.category is distinct from p.category
        """
    ).fetchall()
    assert astray == []
