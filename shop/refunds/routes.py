"""Refunds: the command."""

from fastapi import Request
from pydantic import Field

from penstock.http.background import relay_after
from penstock.http.parameters import Answer, IdempotencyKey, OrderId
from penstock.http.read_your_writes import context_of
from penstock.http.routing import Json, requires, router, settings_of
from shop.orders.order import Status
from shop.refunds import commands, inputs

routes = router()


class RefundAnswer(Answer):
    """Pass `position` as `wait_for` to read what this command did."""

    order_id: str
    refund_id: str
    amount: str = Field(examples=["5.00"], description="What this refund gave back.")
    currency: str
    refunded: str = Field(examples=["7.50"], description="What all refunds of the order come to.")
    status: Status = Field(description="Of the order: a refund does not change it.")
    total: str = Field(examples=["15.00"])
    version: int
    position: int
    duplicate: bool = Field(description="An earlier call did it; this repeats its answer.")


@routes.post(
    "/v1/orders/{order_id:path}/refund", responses={200: {"model": RefundAnswer}}, openapi_extra=requires("write")
)
def refund_order(
    request: Request,
    order_id: OrderId,
    body: inputs.RefundOrder | None = None,
    idempotency_key: IdempotencyKey = None,
) -> Json:
    """Give money back: all that remains of a paid order, an `amount`, or what was paid for some `items`.

    409 `refund-exceeds-total` with what is `remaining`. An item with `restock` goes back on the shelf. A `refund_id`
    that the order has already is answered as the first time, or with 409 `conflict` if it was another refund.
    """
    context = context_of(request, idempotency_key)
    refund_id, answer = commands.refund_order(settings_of(request), order_id, body or inputs.RefundOrder(), context)
    refund = answer.state.refunds[refund_id]
    content = {
        "order_id": order_id,
        "refund_id": refund_id,
        "amount": refund["amount"],
        "currency": refund["currency"],
        "refunded": format(answer.state.refunded, "f"),
        "status": answer.state.status,
        "total": answer.state.total,
        "version": answer.version,
        "position": answer.position,
        "duplicate": answer.duplicate,
    }
    return relay_after(request, Json(content))
