"""Customers, from their read model."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field

from penstock.http.parameters import After, Answer, CustomerId, Limit, WaitFor
from penstock.http.read_your_writes import read_when_ready
from penstock.http.routing import Json, requires, router
from penstock.types import Identifier
from shop.customers.queries import list_customers, read_customer

routes = router()


class ListedCustomerOut(Answer):
    customer_id: str = Field(examples=["C-7"])
    name: str | None = Field(examples=["Ann"], description="As of the latest registration.")
    email: str | None = Field(examples=["ann@example.com"])
    country: str | None = Field(
        examples=["France"], description="As of the latest registration, else of the latest order that names one."
    )
    registered_at: str | None = Field(description="Null for a customer known from orders alone.")
    first_order_at: str | None
    last_order_at: str | None


class CustomerOut(ListedCustomerOut):
    """`position`: the read model knows of everything up to there."""

    position: int


class CustomersOut(Answer):
    """`position`: the read model knows of everything up to there."""

    customers: list[ListedCustomerOut]
    next: str | None = Field(description="`after` of the next page; null at the end.")
    position: int


@routes.get("/v1/customers", responses={200: {"model": CustomersOut}}, openapi_extra=requires("read"))
async def read_customers(
    request: Request,
    country: Annotated[str | None, Query(min_length=1, max_length=200, description="Written just so.")] = None,
    prefix: Annotated[Identifier | None, Query(description="Only ids that begin with it.")] = None,
    after: After = None,
    limit: Limit = 100,
    wait_for: WaitFor = None,
) -> Json:
    """List customers, registered or seen on an order, by their ids."""
    return Json(
        await read_when_ready(
            request,
            "customers",
            wait_for,
            lambda found: list_customers(found, country=country, prefix=prefix, after=after, max_count=limit),
        )
    )


@routes.get("/v1/customers/{customer_id:path}", responses={200: {"model": CustomerOut}}, openapi_extra=requires("read"))
async def read_one_customer(request: Request, customer_id: CustomerId, wait_for: WaitFor = None) -> Json:
    """Read a customer from the read model, as of its `position`."""
    return Json(await read_when_ready(request, "customers", wait_for, lambda found: read_customer(found, customer_id)))
