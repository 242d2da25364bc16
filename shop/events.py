"""The events of the sample domain as typed payloads, for all who write them: commands, webhooks and imports of files.

Commands and webhooks are held to these models; what an import target writes fits them
(`tests/shop/test_one_schema.py`). The store itself takes any payload. Money is a decimal with its digits
as they came ("2.550" stays "2.550"), a JSON string in the store. Limits are those of the read models' columns.
"""

import operator
from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Annotated, Final, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    ValidationInfo,
    field_validator,
    model_validator,
)

from penstock.payloads import EventSchema, Payload
from penstock.settings import CURRENCY
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


ProductName = Annotated[str, StringConstraints(max_length=MAX_NAME), AfterValidator(storable)]
Pieces = Annotated[StrictInt, Field(ge=0, le=MAX_INTEGER)]
MoneyBack = Annotated[MoneySum, Field(gt=0)]
Part = Annotated[Money | None, Field(exclude_if=lambda part: part is None)]
Whole = Annotated[MoneySum | None, Field(exclude_if=operator.not_)]
Detail = Annotated[Text | None, Field(exclude_if=operator.not_)]


class OrderLine(Payload):
    """What a line cost before discounts: `amount` where a receipt says it, else `quantity × unit_price`.

    `discount` and `tax` are the line's parts of those of the order, where somebody says them of the line.
    """

    product_id: Identifier
    name: ProductName | None = None
    category: Category | None = None
    amount: Annotated[Money | None, Field(exclude_if=lambda amount: amount is None)] = None
    quantity: Pieces
    unit_price: Money
    discount: Part = None
    tax: Part = None

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


class Adjustments(Payload):
    """What an order costs beside its lines. What is 0 stays out of the stored payload.

    `discount` and `tax` are the whole of the order, what its lines say included; left out, they are the sum of that.
    """

    discount: Whole = None
    shipping: Whole = None
    tax: Whole = None
    tax_included: Annotated[StrictBool, Field(exclude_if=operator.not_)] = False
    shipping_address: Detail = None


class OrderPlaced(Adjustments):
    """`total` may be left out; if it is given it must be exactly lines - discount + shipping + tax, if not included."""

    order_id: Identifier
    customer_id: Identifier | None = None
    currency: Currency
    country: Text | None = None
    placed_at: OccurredAt
    items: OrderLines
    total: MoneySum | None = None

    @model_validator(mode="after")
    def _sum_up(self) -> Self:
        parts = {name: whole_of(name, getattr(self, name), self.items) for name in ("discount", "tax")}
        with localcontext(prec=60):
            total = sum_of_lines(self.items) - parts["discount"] + (self.shipping or 0)
            total += 0 if self.tax_included else parts["tax"]
        if self.total is not None and self.total != total:
            raise ValueError(f"total is {self.total}, but items - discount + shipping + tax are {total}")
        if total < 0:
            raise ValueError(f"the total would be {total}: the discount is more than there is to pay")
        if self.tax_included and parts["tax"] > total:
            raise ValueError(f"a tax of {parts['tax']} cannot be included in a total of {total}")
        check_total(total)
        for name, value in {**parts, "total": total}.items():
            object.__setattr__(self, name, value)
        return self


class OrderAmended(OrderPlaced):
    """The whole order as it is from now on, in place of what `OrderPlaced` said; its status stays."""


class OrderVoided(Payload):
    """The order was never placed: it counts in no figure. An `OrderPlaced` after it begins the order again."""

    reason: Text | None = None


class PaymentReceived(Payload):
    """`transaction_id` is the payment's id at the payment provider; `currency` that of the order."""

    amount: MoneySum
    method: Text | None = None
    transaction_id: Detail = None
    currency: Annotated[Currency | None, Field(exclude_if=operator.not_)] = None


class OrderShipped(Payload):
    carrier: Text | None = None
    tracking: Text | None = None
    warehouse: Detail = None


class OrderDelivered(Payload):
    """`signature` says who signed for it."""

    signature: Detail = None


class OrderCompleted(Payload):
    pass


class OrderCancelled(Payload):
    reason: Text | None = None


class RefundedLine(Payload):
    """`amount` is what was given back for these pieces; `restock` says that they are on the shelf again."""

    product_id: Identifier
    quantity: Pieces
    amount: Money
    restock: Annotated[StrictBool, Field(exclude_if=operator.not_)] = False


class OrderRefunded(Payload):
    """Money given back for an order, whose status stays. A later one of a `refund_id` replaces the earlier.

    `amount` is all of it; `tax` and `shipping` are parts of it, and so are the amounts of the lines.
    """

    refund_id: Identifier
    refunded_at: OccurredAt
    amount: MoneyBack
    currency: Currency
    tax: Whole = None
    shipping: Whole = None
    reason: Text | None = None
    items: tuple[RefundedLine, ...] = ()

    @model_validator(mode="after")
    def _check_parts(self) -> Self:
        with localcontext(prec=60):
            parts = (self.tax or 0) + (self.shipping or 0)
        if parts > self.amount:
            raise ValueError(f"tax and shipping are {parts}, more than the amount of {self.amount}")
        return self


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
    EventSchema(OrderPlaced, "order", "order_id", "placed_at", {"currency": CURRENCY}),
    EventSchema(OrderAmended, "order", "order_id", time_field="placed_at"),
    EventSchema(OrderVoided, "order", "order_id"),
    EventSchema(PaymentReceived, "order", "order_id"),
    EventSchema(OrderShipped, "order", "order_id"),
    EventSchema(OrderDelivered, "order", "order_id"),
    EventSchema(OrderCompleted, "order", "order_id"),
    EventSchema(OrderCancelled, "order", "order_id"),
    EventSchema(OrderRefunded, "order", "order_id", time_field="refunded_at"),
    EventSchema(CreditNoteIssued, "credit_note", "credit_note_id", "issued_at", {"currency": CURRENCY}),
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
    check_total(total)
    return total


def check_total(total: Decimal) -> None:
    """`ValueError` if no column holds it."""
    if total >= _MAX_TOTAL:
        raise ValueError(f"the sum of the items is {total}: it must stay below {_MAX_TOTAL}")


def whole_of(part: str, whole: Decimal | None, lines: Iterable[OrderLine]) -> Decimal:
    """An order's discount or tax: as it says, else the sum of its lines'; `ValueError` if it says less than they do."""
    with localcontext(prec=60):
        of_lines = sum((getattr(line, part) or Decimal(0) for line in lines), start=Decimal(0))
    if whole is not None and whole < of_lines:
        raise ValueError(f"{part} is {whole}, less than the {of_lines} of the items")
    check_total(of_lines)
    return of_lines if whole is None else whole
