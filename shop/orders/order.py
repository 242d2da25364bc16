"""An order, as pure functions: `evolve` folds events, `place` and the steps decide what a command becomes.

    placed ──pay──► paid ──ship──► shipped ──deliver──► delivered ──complete──► completed
      │              │  └───────────────complete, also from shipped ────────────────▲
      └───cancel─────┴──► cancelled

A paid order may be completed at once: a shop that hands goods over the counter ships nothing. Nothing that has been
shipped can be cancelled, and no step can follow `completed` or `cancelled`. `OrderAmended` says what an order is from
then on and keeps its status. `OrderRefunded` says what was given back, at any time, and keeps the status too.
`OrderVoided` takes the order back, whatever its status; it may be placed again.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, localcontext
from typing import Any, Final, Literal, cast, get_args

from penstock.errors import ImpossibleStep, InvalidInput, NotFound
from penstock.payloads import Payload
from shop import events
from shop.events import OrderPlaced

AGGREGATE_TYPE: Final = "order"

Status = Literal["placed", "paid", "shipped", "delivered", "completed", "cancelled"]
"""All statuses, in the order in which an order can reach them."""

STATUS_AFTER: Final[Mapping[str, Status]] = {
    "PaymentReceived": "paid",
    "OrderShipped": "shipped",
    "OrderDelivered": "delivered",
    "OrderCompleted": "completed",
    "OrderCancelled": "cancelled",
}
"""What each event after `OrderPlaced` makes of an order; the read model `orders` takes its steps from here."""

DETAILS: Final[Mapping[str, Mapping[str, str]]] = {
    "PaymentReceived": {"payment_method": "method", "transaction_id": "transaction_id"},
    "OrderShipped": {"carrier": "carrier", "tracking": "tracking", "warehouse": "warehouse"},
    "OrderDelivered": {"signature": "signature"},
}
"""What is known of an order from its steps, and the field of the event that says it; the latest that says one holds."""

NO_CURRENCY: Final = "XXX"
"""ISO 4217's own code for no currency: of orders and refunds that were appended without one."""

VOIDED: Final = "OrderVoided"
AMENDED: Final = "OrderAmended"
REFUNDED: Final = "OrderRefunded"
CONTENT: Final = ("OrderPlaced", AMENDED)
"""The events that say what an order is: the last of them holds."""

_FINAL: Final = ("completed", "cancelled")
_RANK: Final = {status: 5 if status in _FINAL else place for place, status in enumerate(get_args(Status), 1)}
_AFTER_PAYMENT: Final = ("paid", "shipped", "delivered", "completed")
_AFTER_HANDING_OUT: Final = ("shipped", "delivered", "completed")
ALLOWED: Final[Mapping[str, tuple[str, ...]]] = {
    "pay": ("placed",),
    "ship": ("paid",),
    "deliver": ("shipped",),
    "complete": ("paid", "shipped", "delivered"),
    "cancel": ("placed", "paid"),
}
"""The statuses from which each step may be taken."""


@dataclass(frozen=True)
class Order:
    """`status` is None until the order is placed. Money is text, as in the events.

    `refunds` are what was given back, by the refund's id, each with `amount`, `currency`, `tax`, `shipping` and
    `items`; a later one of an id takes the place of the earlier. `paid` and `handed_out` say whether it ever was, which
    a cancelled order's status does not; a step implies those before it, as files have them.
    A `voided` order has nothing but that status, and no row in the read model.
    """

    status: Status | Literal["voided"] | None = None
    customer_id: str | None = None
    currency: str | None = None
    country: str | None = None
    placed_at: str | None = None
    total: str | None = None
    discount: str = "0"
    shipping: str = "0"
    tax: str = "0"
    tax_included: bool = False
    shipping_address: str | None = None
    items: Sequence[Mapping[str, Any]] = ()
    payment_method: str | None = None
    transaction_id: str | None = None
    carrier: str | None = None
    tracking: str | None = None
    warehouse: str | None = None
    signature: str | None = None
    paid: bool = False
    handed_out: bool = False
    refunds: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def due(self) -> Decimal | None:
        """What it costs; None if it was appended without a total that can be read."""
        readable = self.total is not None and re.fullmatch(r"\d{1,15}(\.\d{1,6})?", self.total, re.ASCII)
        return Decimal(self.total) if self.total and readable else None

    @property
    def refunded(self) -> Decimal:
        """What was given back in the order's currency: another adds nothing to it."""
        return _sum(
            Decimal(refund["amount"]) for refund in self.refunds.values() if refund["currency"] == self.currency
        )

    @property
    def items_count(self) -> int:
        return int(_sum(_number(item["quantity"]) for item in self.items if item.get("quantity") is not None))

    @property
    def gross_sales(self) -> str | None:
        """What the lines cost before discounts; None if the order says no total."""
        if self.total is None:
            return None
        added = [Decimal(self.shipping), Decimal(0 if self.tax_included else self.tax)]
        return format(_sum([Decimal(self.total), Decimal(self.discount), *(part.copy_negate() for part in added)]), "f")

    @property
    def product_ids(self) -> list[str]:
        return sorted({item["product_id"] for item in self.items if isinstance(item.get("product_id"), str)})


def evolve(order: Order, event_type: str, payload: Mapping[str, Any]) -> Order:
    """Fold one event, by the rules of the read model `orders`: the furthest step counts, the first placing holds."""
    if event_type == "OrderPlaced":
        return order if is_open(order) else Order(status="placed", **_content(payload))
    if not is_open(order):
        return order
    if event_type == AMENDED:
        said = _content(payload)
        return replace(order, **said | {"placed_at": said["placed_at"] or order.placed_at})
    if event_type == REFUNDED:
        return _refunded(order, payload)
    if event_type == VOIDED:
        return Order(status="voided")
    said = {name: _text(payload, key) for name, key in DETAILS.get(event_type, {}).items()}
    status = STATUS_AFTER.get(event_type)
    order = replace(
        order,
        paid=order.paid or status in _AFTER_PAYMENT,
        handed_out=order.handed_out or status in _AFTER_HANDING_OUT,
        **{name: value for name, value in said.items() if value},
    )
    if status is None or _RANK[status] < _RANK[cast(Status, order.status)]:
        return order
    return replace(order, status=status)


def is_open(order: Order) -> bool:
    """Whether it has been placed and not been taken back."""
    return order.status not in (None, "voided")


def place(order: Order, placed: OrderPlaced) -> OrderPlaced:
    if is_open(order):
        raise ImpossibleStep(
            f"order {placed.order_id} exists already: it is {order.status}",
            order_id=placed.order_id,
            status=order.status,
            step="place",
        )
    return placed


def step(order: Order, order_id: str, name: str, details: Mapping[str, Any]) -> Payload:
    """Decide a step by its name (pay, ship, deliver, complete, cancel); raises `ImpossibleStep` with the status."""
    if order.status is None:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    if order.status not in ALLOWED[name]:
        raise ImpossibleStep(
            f"order {order_id} is {order.status}: {name} needs {' or '.join(ALLOWED[name])}",
            order_id=order_id,
            status=order.status,
            step=name,
        )
    return _DECIDE[name](order, details)


def _pay(order: Order, details: Mapping[str, Any]) -> Payload:
    """The whole total: there are no partial payments. An order appended without a readable total takes any amount."""
    total = order.due
    amount = total if details.get("amount") is None else details["amount"]
    if amount is None:
        raise InvalidInput("the order says no total, so the payment must", field="amount")
    if total is not None and amount != total:
        raise InvalidInput(f"{amount} is not the order's total of {total}", field="amount")
    currency = order.currency if order.currency != NO_CURRENCY else None
    return events.PaymentReceived(**{**details, "amount": amount, "currency": currency})


_DECIDE: Final[Mapping[str, Callable[[Order, Mapping[str, Any]], Payload]]] = {
    "pay": _pay,
    "ship": lambda _, details: events.OrderShipped(**details),
    "deliver": lambda _, details: events.OrderDelivered(**details),
    "complete": lambda _, details: events.OrderCompleted(**details),
    "cancel": lambda _, details: events.OrderCancelled(**details),
}


def _content(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Lenient: an order that was appended as a bare event may lack anything."""
    items = payload.get("items")
    parts = {name: _part(payload, name) for name in ("discount", "shipping", "tax")}
    return {
        "customer_id": _text(payload, "customer_id"),
        "currency": _currency(payload),
        "country": _text(payload, "country"),
        "placed_at": _text(payload, "placed_at"),
        "total": _total(payload, parts),
        "tax_included": payload.get("tax_included") is True,
        "shipping_address": _text(payload, "shipping_address"),
        "items": tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else (),
        **{name: _shown(part) or "0" for name, part in parts.items()},
    }


def _refunded(order: Order, payload: Mapping[str, Any]) -> Order:
    """Lenient, as with orders: a refund without an id or an amount of more than 0 changes nothing."""
    refund_id = _text(payload, "refund_id")
    refund = refund_in(payload)
    return replace(order, refunds={**order.refunds, refund_id: refund}) if refund_id and refund else order


def refund_in(payload: Mapping[str, Any]) -> dict[str, Any] | None:
    """What an `OrderRefunded` says, as the aggregate keeps it; None without an amount of more than 0."""
    amount, items = payload.get("amount"), payload.get("items")
    try:
        shown = _shown(_number(amount)) if _number(amount) > 0 else None
    except (ArithmeticError, TypeError, ValueError):
        shown = None
    if not shown:
        return None
    return {
        "amount": shown,
        "currency": _currency(payload),
        "tax": _shown(_part(payload, "tax")) or "0",
        "shipping": _shown(_part(payload, "shipping")) or "0",
        "reason": _text(payload, "reason"),
        "refunded_at": _text(payload, "refunded_at"),
        "items": [item for item in items if isinstance(item, dict)] if isinstance(items, list) else [],
    }


def _currency(payload: Mapping[str, Any]) -> str:
    """As the read models have it: a code, or the one for none."""
    currency = payload.get("currency")
    return currency if isinstance(currency, str) and re.fullmatch("[A-Z]{3}", currency) else NO_CURRENCY


def _part(payload: Mapping[str, Any], name: str) -> Decimal:
    """The order's discount, shipping or tax; where it does not say it, the sum of what its lines say."""
    try:
        if payload.get(name) is not None:
            return _number(payload[name])
        items = payload.get("items") or []
        return _sum(_number(item[name]) for item in items if item.get(name) is not None and name != "shipping")
    except (ArithmeticError, AttributeError, TypeError, ValueError):
        return Decimal(0)


def _total(payload: Mapping[str, Any], parts: Mapping[str, Decimal]) -> str | None:
    """As the read model has it: the total that is given, be it text or a number, else that of the items and parts."""
    total, items = payload.get("total"), payload.get("items")
    if isinstance(total, str):
        return total
    try:
        if total is not None:
            return _shown(_number(total))
        if not items and not any(parts.values()):
            return None
        tax = Decimal(0) if payload.get("tax_included") is True else parts["tax"]
        cost = _sum(_amount(item) for item in items or [])
        return _shown(_sum([cost, parts["discount"].copy_negate(), parts["shipping"], tax]))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return None


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(prec=60):
        return sum(numbers, start=Decimal(0))


def _shown(total: Decimal) -> str | None:
    """Within the limits of the read model's column; `1e999999` would be a text of a million digits."""
    exponent = total.as_tuple().exponent
    return format(total, "f") if abs(total) < 10**15 and isinstance(exponent, int) and exponent >= -18 else None


def _amount(item: Mapping[str, Any]) -> Decimal:
    if item.get("amount") is not None:
        return _number(item["amount"])
    return _number(item["quantity"]) * _number(item["unit_price"])


def _number(value: object) -> Decimal:
    if isinstance(value, bool):
        raise TypeError("a boolean is not a number")
    return Decimal(str(value))


def _text(payload: Mapping[str, Any], key: str) -> str | None:
    value = payload.get(key)
    return value if isinstance(value, str) and value else None
