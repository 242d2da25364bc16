"""Views: the figures, page by page, each with the time up to which it is right."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import Field

from penstock.http.parameters import After, Answer, Limit, Name
from penstock.http.routing import Json, plain, requires, router, settings_of
from penstock.postgres import pool
from penstock.views import list_views, read_view, refresh_view

routes = router()


class ViewOut(Answer):
    name: str
    kind: Literal["materialized", "table", "view"]
    refreshed_at: str | None = Field(description="What was committed before is in the view; null: never filled.")
    duration_ms: int | None = Field(description="How long the last refresh took.")


class ViewsOut(Answer):
    views: list[ViewOut]


class ViewPageOut(Answer):
    rows: list[dict[str, Any]] = Field(
        examples=[
            [
                {
                    "month": "2010-12-01",
                    "currency": "GBP",
                    "order_count": 1559,
                    "revenue": "823746.140",
                    "avg_order_value": "528.381103",
                    "unique_customers": 885,
                }
            ]
        ]
    )
    next: str | None = Field(description="`after` of the next page; null at the end.")
    refreshed_at: str | None


class RefreshedOut(Answer):
    view: str
    refreshed_at: str
    duration_ms: int
    coalesced: bool = Field(description="A refresh that began after this call was already doing the work.")


@routes.get("/v1/views", responses={200: {"model": ViewsOut}}, openapi_extra=requires("read"))
def read_views(request: Request) -> Json:
    """Every view and how fresh it is."""
    with pool.connection(settings_of(request)) as connection:
        return Json({"views": [plain(view) for view in list_views(connection)]})


@routes.get("/v1/views/{name}", responses={200: {"model": ViewPageOut}}, openapi_extra=requires("read"))
def read_one_view(
    request: Request,
    name: Name,
    after: After = None,
    before: Annotated[date | None, Query(description="Only what is older, in views that go by time.")] = None,
    currency: Annotated[
        str | None,
        Query(pattern="^[A-Z]{3}$", description="Only amounts of this currency (ISO 4217), in views that have one."),
    ] = None,
    limit: Limit = 100,
) -> Json:
    """Read a view: months, days and hours newest first, products by revenue. No row adds two currencies."""
    with pool.connection(settings_of(request)) as connection:
        page = read_view(connection, name, after=after, before=before, currency=currency, max_count=limit)
        return Json(plain(page))


@routes.post("/v1/views/{name}/refresh", responses={200: {"model": RefreshedOut}}, openapi_extra=requires("admin"))
def refresh_one_view(request: Request, name: Name) -> Json:
    """Refresh a materialized view while others go on reading it. Calls that come meanwhile share one refresh."""
    with pool.connection(settings_of(request)) as connection:
        return Json(plain(refresh_view(connection, name)))
