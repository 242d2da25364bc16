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
from collections.abc import Callable, Mapping, Sequence
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

VOIDED: Final = "OrderVoided"
AMENDED: Final = "OrderAmended"
REFUNDED: Final = "OrderRefunded"
CONTENT: Final = ("OrderPlaced", AMENDED)
"""The events that say what an order is: the last of them holds."""

_FINAL: Final = ("completed", "cancelled")
_RANK: Final = {status: 5 if status in _FINAL else place for place, status in enumerate(get_args(Status), 1)}
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

    `refunds` are what was given back, by the refund's id; a later one of an id takes the place of the earlier.
    A `voided` order has nothing but that status, and no row in the read model.
    """

    status: Status | Literal["voided"] | None = None
    customer_id: str | None = None
    currency: str | None = None
    country: str | None = None
    placed_at: str | None = None
    total: str | None = None
    items: Sequence[Mapping[str, Any]] = ()
    refunds: Mapping[str, str] = field(default_factory=dict)

    @property
    def refunded(self) -> Decimal:
        with localcontext(prec=60):
            return sum(map(Decimal, self.refunds.values()), start=Decimal(0))

    @property
    def product_ids(self) -> list[str]:
        return sorted({item["product_id"] for item in self.items if isinstance(item.get("product_id"), str)})


def evolve(order: Order, event_type: str, payload: Mapping[str, Any]) -> Order:
    """Fold one event, by the rules of the read model `orders`: the furthest step counts, the first placing holds."""
    if event_type == "OrderPlaced":
        return order if is_open(order) else _placed(payload)
    if not is_open(order):
        return order
    if event_type == AMENDED:
        said = _placed(payload)
        placed_at = said.placed_at or order.placed_at
        return replace(said, status=order.status, placed_at=placed_at, refunds=order.refunds)
    if event_type == REFUNDED:
        return _refunded(order, payload)
    if event_type == VOIDED:
        return Order(status="voided")
    status = STATUS_AFTER.get(event_type)
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
    readable = order.total is not None and re.fullmatch(r"\d{1,12}(\.\d{1,6})?", order.total, re.ASCII)
    total = Decimal(order.total) if order.total and readable else None
    amount = total if details.get("amount") is None else details["amount"]
    if amount is None:
        raise InvalidInput("the order says no total, so the payment must", field="amount")
    if total is not None and amount != total:
        raise InvalidInput(f"{amount} is not the order's total of {total}", field="amount")
    return events.PaymentReceived(amount=amount, method=details.get("method"))


_DECIDE: Final[Mapping[str, Callable[[Order, Mapping[str, Any]], Payload]]] = {
    "pay": _pay,
    "ship": lambda _, details: events.OrderShipped(**details),
    "deliver": lambda _, details: events.OrderDelivered(**details),
    "complete": lambda _, details: events.OrderCompleted(**details),
    "cancel": lambda _, details: events.OrderCancelled(**details),
}


def _placed(payload: Mapping[str, Any]) -> Order:
    """Lenient: an order that was appended as a bare event may lack anything."""
    items = payload.get("items")
    return Order(
        status="placed",
        customer_id=_text(payload, "customer_id"),
        currency=_text(payload, "currency"),
        country=_text(payload, "country"),
        placed_at=_text(payload, "placed_at"),
        total=_total(payload),
        items=tuple(item for item in items if isinstance(item, dict)) if isinstance(items, list) else (),
    )


def _refunded(order: Order, payload: Mapping[str, Any]) -> Order:
    """Lenient, as with orders: a refund without an id or an amount of more than 0 changes nothing."""
    refund_id, amount = _text(payload, "refund_id"), payload.get("amount")
    try:
        shown = _shown(_number(amount)) if refund_id and _number(amount) > 0 else None
    except (ArithmeticError, TypeError, ValueError):
        shown = None
    return replace(order, refunds={**order.refunds, refund_id: shown}) if refund_id and shown else order


def _total(payload: Mapping[str, Any]) -> str | None:
    """As the read model has it: the total that is given, be it text or a number, else the sum of the items."""
    total, items = payload.get("total"), payload.get("items")
    if isinstance(total, str):
        return total
    try:
        with localcontext(prec=60):
            if total is None and items:
                total = sum((_amount(item) for item in items), start=Decimal(0))
            return None if total is None else _shown(_number(total))
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return None


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
