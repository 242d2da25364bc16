"""The figures that may be read by name, and the order of their pages."""

from typing import Final

from penstock.views import Key, View

_CURRENCY: Final = Key("currency", "text")
_DAYS_COMPUTED: Final = "select max(computed_at) from public.daily_analytics"

VIEWS: Final = (
    View("monthly_revenue", "materialized", (Key("month", "date", descending=True), _CURRENCY)),
    View(
        "user_cohorts",
        "materialized",
        (Key("cohort_month", "date", descending=True), Key("months_since", "integer"), _CURRENCY),
    ),
    View(
        "product_performance",
        "materialized",
        # by currency first: amounts of two are in no order
        (_CURRENCY, Key("revenue", "numeric", descending=True), Key("product_id", "text")),
    ),
    View(
        "daily_analytics",
        "table",
        (Key("day", "date", descending=True), _CURRENCY),
        fresh_by=_DAYS_COMPUTED,
    ),
    View(
        "daily_revenue_converted",
        "view",
        (Key("day", "date", descending=True), _CURRENCY, Key("converted_to", "text")),
        fresh_by=_DAYS_COMPUTED,
    ),
    View(
        "daily_revenue_total_converted",
        "view",
        (Key("day", "date", descending=True), Key("converted_to", "text")),
        fresh_by=_DAYS_COMPUTED,
    ),
    View(
        "revenue_by_hour",
        "table",
        (Key("hour", "timestamptz", descending=True), _CURRENCY),
        fresh_by="select updated_at from ops.subscriptions where subscription = 'orders'",
    ),
)
