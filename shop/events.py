"""The events of the sample domain as typed payloads, for all who write them: commands, webhooks and imports of files.

Commands and webhooks are held to these models; what an import target writes fits them
(`tests/shop/test_one_schema.py`). The store itself takes any payload. Money is a decimal with its digits
as they came ("2.550" stays "2.550"), a JSON string in the store. Limits are those of the read models' columns.
"""

from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from penstock.payloads import EventSchema, Payload
from penstock.types import (
    MAX_INTEGER,
    Category,
    Change,
    Currency,
    Identifier,
    Money,
    MoneySum,
    OccurredAt,
    Text,
    storable,
)

_MAX_TOTAL: Final = Decimal(10) ** 15
MAX_NAME: Final = 2000
DEFAULT_CURRENCY: Final = "GBP"


ProductName = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(storable)]
Pieces = Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)]
MoneyBack = Annotated[MoneySum, Field(gt=0)]


class OrderLine(Payload):
    """`amount` is what the line cost where a receipt says it; else it cost `quantity × unit_price`."""

    product_id: Identifier
    name: ProductName | None = None
    category: Category | None = None
    amount: Annotated[Money | None, Field(exclude_if=lambda amount: amount is None)] = None
    quantity: Pieces
    unit_price: Money

    @field_validator("quantity")
    @classmethod
    def _check_quantity(cls, quantity: int, info: ValidationInfo) -> int:
        if quantity == 0 and info.data.get("amount") is None:
            raise ValueError("must be at least 1; a line of 0 pieces, such as a coupon, needs its `amount`")
        return quantity

    @property
    def cost(self) -> Decimal:
        return self.quantity * self.unit_price if self.amount is None else self.amount


def check_sum(lines: tuple[OrderLine, ...]) -> tuple[OrderLine, ...]:
    """For validators: the lines, or `ValueError` if no column holds what they cost."""
    sum_of_lines(lines)
    return lines


OrderLines = Annotated[tuple[OrderLine, ...], Field(min_length=1), AfterValidator(check_sum)]


class OrderPlaced(Payload):
    """`total` may be left out; if it is given it must be the exact sum of the lines."""

    order_id: Identifier
    customer_id: Identifier | None = None
    currency: Currency = DEFAULT_CURRENCY
    country: Text | None = None
    placed_at: OccurredAt
    items: OrderLines
    total: MoneySum | None = None

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        total = sum_of_lines(self.items)
        if self.total is not None and self.total != total:
            raise ValueError(f"total is {self.total}, the sum of the items {total}")
        object.__setattr__(self, "total", total)
        return self


class OrderAmended(OrderPlaced):
    """The whole order as it is from now on, in place of what `OrderPlaced` said; its status stays."""


class OrderVoided(Payload):
    """The order was never placed: it counts in no figure. An `OrderPlaced` after it begins the order again."""

    reason: Text | None = None


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


class RefundedLine(Payload):
    """`amount` is what was given back for these pieces."""

    product_id: Identifier
    quantity: Pieces
    amount: Money


class OrderRefunded(Payload):
    """Money given back for an order, whose status stays. A later one of a `refund_id` replaces the earlier."""

    refund_id: Identifier
    refunded_at: OccurredAt
    amount: MoneyBack
    currency: Currency
    reason: Text | None = None
    items: tuple[RefundedLine, ...] = ()


class CreditNoteIssued(Payload):
    """Money given back that names no order. All amounts are positive, and `total` is the exact sum of the lines."""

    credit_note_id: Identifier
    issued_at: OccurredAt
    currency: Currency
    customer_id: Identifier | None = None
    country: Text | None = None
    items: OrderLines
    total: MoneyBack

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        total = sum_of_lines(self.items)
        if self.total != total:
            raise ValueError(f"total is {self.total}, the sum of the items {total}")
        return self


class CreditNoteVoided(Payload):
    """The credit note was never issued: it counts in no figure. It may be issued again."""

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
    name: ProductName
    category: Category | None = None
    unit_price: Money | None = None


class ProductRemoved(Payload):
    """What was listed of it before no longer holds."""

    product_id: Identifier


class CustomerRegistered(Payload):
    customer_id: Identifier
    name: Text | None = None
    email: Text | None = None
    country: Text | None = None
    registered_at: OccurredAt


class CustomerRemoved(Payload):
    """What was registered of the customer before no longer holds."""

    customer_id: Identifier


EVENTS: Final = (
    EventSchema(OrderPlaced, "order", "order_id", time_field="placed_at"),
    EventSchema(OrderAmended, "order", "order_id", time_field="placed_at"),
    EventSchema(OrderVoided, "order", "order_id"),
    EventSchema(PaymentReceived, "order", "order_id"),
    EventSchema(OrderShipped, "order", "order_id"),
    EventSchema(OrderDelivered, "order", "order_id"),
    EventSchema(OrderCompleted, "order", "order_id"),
    EventSchema(OrderCancelled, "order", "order_id"),
    EventSchema(OrderRefunded, "order", "order_id", time_field="refunded_at"),
    EventSchema(CreditNoteIssued, "credit_note", "credit_note_id", time_field="issued_at"),
    EventSchema(CreditNoteVoided, "credit_note", "credit_note_id"),
    EventSchema(InventoryAdjusted, "inventory", "product_id"),
    EventSchema(StockReserved, "inventory", "product_id"),
    EventSchema(ProductListed, "product", "product_id"),
    EventSchema(ProductRemoved, "product", "product_id"),
    EventSchema(CustomerRegistered, "customer", "customer_id", time_field="registered_at"),
    EventSchema(CustomerRemoved, "customer", "customer_id"),
)


def sum_of_lines(lines: Iterable[OrderLine]) -> Decimal:
    """The exact total (the default context would round beyond 28 digits); `ValueError` if no column holds it."""
    with localcontext(prec=60):
        total = sum((line.cost for line in lines), start=Decimal(0))
    if total >= _MAX_TOTAL:
        raise ValueError(f"the sum of the items is {total}: it must stay below {_MAX_TOTAL}")
    return total
