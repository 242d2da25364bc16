"""The figures that may be read by name, and the order of their pages."""

from typing import Final

from penstock.views import Key, View

VIEWS: Final = (
    View("monthly_revenue", "materialized", (Key("month", "date", descending=True),)),
    View(
        "user_cohorts",
        "materialized",
        (Key("cohort_month", "date", descending=True), Key("months_since", "integer")),
    ),
    View(
        "product_performance",
        "materialized",
        (Key("revenue", "numeric", descending=True), Key("product_id", "text")),
    ),
    View(
        "daily_analytics",
        "table",
        (Key("day", "date", descending=True),),
        fresh_by="select max(computed_at) from public.daily_analytics",
    ),
    View(
        "net_revenue_by_day",
        "view",
        (Key("day", "date", descending=True),),
        fresh_by="""select min(f.at) from (
          select max(computed_at) as at from public.daily_analytics
          union all
          select updated_at from ops.subscriptions where subscription = 'refunds'
        ) as f""",
    ),
    View(
        "revenue_by_hour",
        "table",
        (Key("hour", "timestamptz", descending=True), Key("currency", "text")),
        fresh_by="select updated_at from ops.subscriptions where subscription = 'orders'",
    ),
)
