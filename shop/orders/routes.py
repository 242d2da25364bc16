"""Orders: the commands, and the read model."""

from typing import Any

from fastapi import Request
from pydantic import Field

from penstock.commands import CommandAnswer
from penstock.http.background import relay_after
from penstock.http.parameters import Answer, IdempotencyKey, OrderId, WaitFor
from penstock.http.read_your_writes import context_of, read_when_ready
from penstock.http.routing import Json, requires, router, settings_of
from penstock.payloads import Payload
from shop.orders import commands, inputs
from shop.orders.answers import ListedOrderOut
from shop.orders.order import Order, Status
from shop.orders.queries import PROJECTIONS, read_order

routes = router()


class OrderAnswer(Answer):
    """Pass `position` as `wait_for` to read what this command did."""

    order_id: str = Field(examples=["A-1"])
    status: Status
    currency: str | None = Field(examples=["GBP"])
    total: str | None = Field(examples=["17.50"])
    version: int
    position: int
    duplicate: bool = Field(description="An earlier call with this Idempotency-Key did it; this repeats its answer.")


class OrderItemOut(Answer):
    line: int
    product_id: str = Field(examples=["MUG"])
    name: str | None = Field(examples=["Mug"])
    category: str | None
    quantity: int = Field(examples=[2])
    unit_price: str = Field(examples=["7.50"])
    amount: str = Field(examples=["15.00"], description="What the line cost before discounts.")
    discount: str = Field(examples=["0"])
    tax: str | None


class RefundedItemOut(Answer):
    line: int
    product_id: str = Field(examples=["MUG"])
    quantity: int
    amount: str = Field(examples=["7.50"])
    restocked: bool


class OrderRefundOut(Answer):
    refund_id: str
    amount: str = Field(examples=["10.00"], description="All that was given back.")
    tax: str = Field(examples=["0"], description="The tax in it.")
    shipping: str = Field(examples=["2.50"], description="The shipping in it.")
    refunded_at: str
    items: list[RefundedItemOut]


class OrderOut(ListedOrderOut):
    """`position`: the read models know of everything up to there."""

    items: list[OrderItemOut]
    refunds: list[OrderRefundOut] = Field(description="The earliest first.")
    position: int


_STEP: dict[str, Any] = {"responses": {200: {"model": OrderAnswer}}, "openapi_extra": requires("write")}


@routes.post("/v1/orders", status_code=201, responses={201: {"model": OrderAnswer}}, openapi_extra=requires("write"))
def place_order(request: Request, body: inputs.PlaceOrder, idempotency_key: IdempotencyKey = None) -> Json:
    """Place an order. Its total is the exact sum of the items.

    Products that have an inventory are reserved, all or nothing: 409 `insufficient-stock` names `product_id`,
    `available` and `requested`. Products without one are not checked.
    """
    answer = commands.place_order(settings_of(request), body, context_of(request, idempotency_key))
    return _answer(request, answer, 201)


@routes.post("/v1/orders/{order_id:path}/pay", **_STEP)
def pay_order(
    request: Request, order_id: OrderId, body: inputs.PayOrder | None = None, idempotency_key: IdempotencyKey = None
) -> Json:
    """Pay a placed order in full. 409 `impossible-step` says its status if it is not `placed`."""
    return _step(request, order_id, "pay", body or inputs.PayOrder(), idempotency_key)


@routes.post("/v1/orders/{order_id:path}/ship", **_STEP)
def ship_order(
    request: Request, order_id: OrderId, body: inputs.ShipOrder | None = None, idempotency_key: IdempotencyKey = None
) -> Json:
    """Ship a paid order: what it had reserved leaves the inventory."""
    return _step(request, order_id, "ship", body or inputs.ShipOrder(), idempotency_key)


@routes.post("/v1/orders/{order_id:path}/deliver", **_STEP)
def deliver_order(
    request: Request,
    order_id: OrderId,
    body: inputs.DeliverOrder | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Say that a shipped order has arrived."""
    return _step(request, order_id, "deliver", body or inputs.DeliverOrder(), idempotency_key)


@routes.post("/v1/orders/{order_id:path}/complete", **_STEP)
def complete_order(
    request: Request,
    order_id: OrderId,
    body: inputs.CompleteOrder | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Complete an order that is paid, shipped or delivered. From now on it counts as revenue."""
    return _step(request, order_id, "complete", body or inputs.CompleteOrder(), idempotency_key)


@routes.post("/v1/orders/{order_id:path}/cancel", **_STEP)
def cancel_order(
    request: Request,
    order_id: OrderId,
    body: inputs.CancelOrder | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Cancel an order that is not shipped yet: what it had reserved is available again."""
    return _step(request, order_id, "cancel", body or inputs.CancelOrder(), idempotency_key)


@routes.get("/v1/orders/{order_id:path}", responses={200: {"model": OrderOut}}, openapi_extra=requires("read"))
async def read_order_model(request: Request, order_id: OrderId, wait_for: WaitFor = None) -> Json:
    """Read an order from the read model, as of its `position`."""
    return Json(
        await read_when_ready(request, PROJECTIONS, wait_for, lambda connection: read_order(connection, order_id))
    )


def _step(request: Request, order_id: str, step: str, details: Payload, idempotency_key: str | None) -> Json:
    context = context_of(request, idempotency_key)
    return _answer(request, commands.step_order(settings_of(request), order_id, step, details, context), 200)


def _answer(request: Request, answer: CommandAnswer[Order], status: int) -> Json:
    content = {
        "order_id": answer.aggregate_id,
        "status": answer.state.status,
        "currency": answer.state.currency,
        "total": answer.state.total,
        "version": answer.version,
        "position": answer.position,
        "duplicate": answer.duplicate,
    }
    return relay_after(request, Json(content, status))
