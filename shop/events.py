"""The events of the sample domain as typed payloads: what commands decide, and what a webhook's data must look like.

The store takes any payload; these models are for those who write domain events. Money is a decimal with its digits
as they came ("2.550" stays "2.550"), a JSON string in the store. Limits are those of the read models' columns.
"""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, model_validator

from penstock.payloads import EventSchema, Payload
from penstock.types import Category, Change, Currency, Identifier, Money, OccurredAt, Quantity, Text

_MAX_TOTAL: Final = Decimal(10) ** 15
DEFAULT_CURRENCY: Final = "GBP"


class OrderLine(Payload):
    product_id: Identifier
    name: Text | None = None
    category: Category | None = None
    quantity: Quantity
    unit_price: Money


def _summable(lines: tuple[OrderLine, ...]) -> tuple[OrderLine, ...]:
    sum_of_lines(lines)
    return lines


OrderLines = Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000), AfterValidator(_summable)]


class OrderPlaced(Payload):
    """`total` may be left out; if it is given it must be the exact sum of the lines."""

    order_id: Identifier
    customer_id: Identifier | None = None
    currency: Currency = DEFAULT_CURRENCY
    country: Text | None = None
    placed_at: OccurredAt
    items: OrderLines
    total: Money | None = None

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        total = sum_of_lines(self.items)
        if self.total is not None and self.total != total:
            raise ValueError(f"total is {self.total}, the sum of the items {total}")
        object.__setattr__(self, "total", total)
        return self


class PaymentReceived(Payload):
    amount: Money
    method: Text | None = None


class OrderShipped(Payload):
    carrier: Text | None = None
    tracking: Text | None = None


class OrderDelivered(Payload):
    pass


class OrderCompleted(Payload):
    pass


class OrderCancelled(Payload):
    reason: Text | None = None


class InventoryAdjusted(Payload):
    product_id: Identifier
    delta: Change
    reason: Text | None = None


class StockReserved(Payload):
    """A negative quantity gives a reservation back; `reason` says why."""

    product_id: Identifier
    order_id: Identifier
    quantity: Change
    reason: Text | None = None


class ProductListed(Payload):
    product_id: Identifier
    name: Text
    category: Category | None = None
    unit_price: Money | None = None


class CustomerRegistered(Payload):
    customer_id: Identifier
    name: Text | None = None
    email: Text | None = None
    country: Text | None = None
    registered_at: OccurredAt


EVENTS: Final = (
    EventSchema(OrderPlaced, "order", "order_id", time_field="placed_at"),
    EventSchema(PaymentReceived, "order", "order_id"),
    EventSchema(OrderShipped, "order", "order_id"),
    EventSchema(OrderDelivered, "order", "order_id"),
    EventSchema(OrderCompleted, "order", "order_id"),
    EventSchema(OrderCancelled, "order", "order_id"),
    EventSchema(InventoryAdjusted, "inventory", "product_id"),
    EventSchema(StockReserved, "inventory", "product_id"),
    EventSchema(ProductListed, "product", "product_id"),
    EventSchema(CustomerRegistered, "customer", "customer_id", time_field="registered_at"),
)


def sum_of_lines(lines: Iterable[OrderLine]) -> Decimal:
    """The exact total (the default context would round beyond 28 digits); `ValueError` if no column holds it."""
    with localcontext(prec=60):
        total = sum((line.quantity * line.unit_price for line in lines), start=Decimal(0))
    if total >= _MAX_TOTAL:
        raise ValueError(f"the sum of the items is {total}: it must stay below {_MAX_TOTAL}")
    return total
