"""Lists of orders: all of them, and a customer's."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from penstock.http.parameters import After, Answer, CustomerId, Limit, WaitFor
from penstock.http.read_your_writes import read_when_ready
from penstock.http.revalidation import revalidated
from penstock.http.routing import Json, requires, router
from penstock.types import Currency, Identifier, Time
from shop.orders.answers import ListedOrderOut
from shop.orders.lists import OrderFilter, list_orders, list_orders_of_customer
from shop.orders.order import Status

routes = router()

_Status = Annotated[Status | None, Query(description="Only orders that have come just so far.")]
_Currency = Annotated[Currency | None, Query(description="ISO 4217.", examples=["GBP"])]
_From = Annotated[Time | None, Query(description="Placed at this time (RFC 3339) or later.")]
_Before = Annotated[Time | None, Query(description="Placed before this time (RFC 3339).")]


class OrdersOut(Answer):
    """`position`: the read model knows of everything up to there."""

    orders: list[ListedOrderOut]
    next: str | None = Field(description="`after` of the next page; null at the end.")
    position: int


@routes.get("/v1/orders", responses={200: {"model": OrdersOut}}, openapi_extra=requires("read"))
async def read_orders(
    request: Request,
    status: _Status = None,
    customer_id: Annotated[Identifier | None, Query(description="Only orders of this customer.")] = None,
    currency: _Currency = None,
    placed_from: _From = None,
    placed_before: _Before = None,
    after: After = None,
    limit: Limit = 100,
    wait_for: WaitFor = None,
) -> Json:
    """List orders without their lines, those placed last first.

    No page looks at more than 10,000 orders. Where filters leave few of them, a page may be short, even empty, and have
    a `next` all the same: `next` alone says whether there are more.
    """
    wanted = OrderFilter(customer_id, status, currency, placed_from, placed_before)
    return Json(
        await read_when_ready(
            request, "orders", wait_for, lambda found: list_orders(found, wanted, after=after, max_count=limit)
        )
    )


@routes.get(
    "/v1/customers/{customer_id:path}/orders",
    response_class=Response,
    responses={200: {"model": OrdersOut}, 304: {"description": "The tag in If-None-Match is still right"}},
    openapi_extra=requires("read"),
)
async def read_orders_of_customer(
    request: Request,
    customer_id: CustomerId,
    status: _Status = None,
    currency: _Currency = None,
    placed_from: _From = None,
    placed_before: _Before = None,
    after: After = None,
    limit: Limit = 100,
    wait_for: WaitFor = None,
) -> Response:
    """A customer's orders without their lines, those placed last first. 404 if nothing names the customer.

    The answer has an `ETag`: sent back as `If-None-Match`, it is answered by 304 while the page is the same. `position`
    alone makes no other page.
    """
    wanted = OrderFilter(customer_id, status, currency, placed_from, placed_before)
    page = await read_when_ready(
        request, "orders", wait_for, lambda found: list_orders_of_customer(found, wanted, after=after, max_count=limit)
    )
    return revalidated(request, page, apart_from=frozenset({"position"}))
