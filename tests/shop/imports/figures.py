"""What the figures of a shop are after all that was imported, brought up to date first."""

from datetime import date
from typing import Any

import psycopg

from penstock.ingest.files import Import, advance_import, create_import
from penstock.projections import advance_all
from penstock.settings import Settings
from penstock.views.refresh import refresh_view
from shop import figures as daily

_TODAY = date(2026, 1, 1)
_FIGURES = {
    "orders": """select order_id, customer_id, status, currency, country, total, placed_at, completed_at is null
      from shop.orders""",
    "items": "select order_id, product_id, name, category, quantity, unit_price, amount from shop.order_items",
    "hours": """select hour, placed_count, order_count, revenue, currency
      from public.revenue_by_hour where placed_count > 0""",
    "days": """select day, order_count, total_revenue, new_users, currency, first_time_buyers, gross_sales, refunds,
      net_sales, top_categories, top_categories_by_revenue, placed_count
      from public.daily_analytics where placed_count > 0""",
    "months": """select month, order_count, revenue, currency, unique_customers, gross_sales, refunds, net_sales
      from public.monthly_revenue where order_count > 0""",
    "cohorts": "select * from public.user_cohorts",
    "products": """select product_id, units_sold, revenue, order_count, last_sold_at, currency, gross_sales,
      units_refunded, refunds from public.product_performance""",
    "customers": "select customer_id, name, email, country, registered_at from shop.customers where name is not null",
    "catalogue": """select product_id, name, category, unit_price, listed_at from shop.products
      where listed_at is not null""",
    "stock": "select product_id, on_hand, reserved from shop.inventory_current where on_hand <> 0",
}
ORDERS = b"order_id,product_id,quantity,unit_price,ordered_at,customer_id\n"


def load(settings: Settings, content: bytes, target: str = "orders", **options: Any) -> Import:
    created, _ = create_import(settings, target, content, options=options)
    done = advance_import(settings, created.id)
    assert (done.error, done.pending) == (None, 0)
    return done


def account(done: Import) -> tuple[int, int, int]:
    return done.loaded, done.duplicate, done.rejected


def read_figures(settings: Settings, connection: psycopg.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Every figure, after what has changed was computed by its marks alone."""
    assert all(advanced.caught_up for advanced in advance_all(settings).values())
    for _ in daily.run_due(settings, _TODAY, marked_only=True):
        pass
    for view in ("monthly_revenue", "user_cohorts", "product_performance"):
        refresh_view(connection, view)
    return {name: sorted(connection.execute(query.encode()).fetchall(), key=repr) for name, query in _FIGURES.items()}


def types_of(connection: psycopg.Connection, stream: str) -> list[str]:
    aggregate_type, aggregate_id = stream.split("/")
    rows = connection.execute(
        "select event_type from public.event_store where aggregate_type = %s and aggregate_id = %s order by version",
        (aggregate_type, aggregate_id),
    ).fetchall()
    return [event_type for (event_type,) in rows]
