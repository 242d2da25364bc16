"""Which views may be read by name, and in which order their pages come.

A name from a request is looked up here and goes no further; what reaches SQL are the identifiers below. To add a
materialized view of your own: a migration that creates it with a unique index and a row in `ops.views`, and an entry
here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from penstock.errors import NotFound

Kind = Literal["materialized", "table"]


@dataclass(frozen=True)
class Key:
    """One column of the order in which pages come; together the keys are unique. `type` is the column's SQL type."""

    column: str
    type: str
    descending: bool = False


@dataclass(frozen=True)
class View:
    """`fresh_by` is SQL for the time up to which a table's rows are right; `ops.views` knows that of the others."""

    name: str
    kind: Kind
    keys: tuple[Key, ...]
    fresh_by: str | None = None


_VIEWS: Final = (
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
        "revenue_by_hour",
        "table",
        (Key("hour", "timestamptz", descending=True),),
        fresh_by="select updated_at from ops.subscriptions where subscription = 'orders'",
    ),
)

VIEWS: Final[Mapping[str, View]] = {view.name: view for view in _VIEWS}


def find_view(name: str) -> View:
    """The view of that name, or `NotFound`."""
    try:
        return VIEWS[name]
    except KeyError:
        raise NotFound(f"no view is named {name!r}; there are {', '.join(VIEWS)}") from None
