"""What a refund may be, as pure functions.

Money can be given back of an order that was paid, whatever its status: what all its refunds come to never exceeds its
total, nor their pieces what was ordered of a product. Pieces go back on the shelf only if they have left it.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal, localcontext
from typing import Any, Final

from penstock.errors import Conflict, ImpossibleStep, InvalidInput, NotFound
from shop.events import OrderRefunded
from shop.inventory.inventory import read_whole_number
from shop.orders.order import NO_CURRENCY, Order, is_open, refund_in
from shop.refunds.inputs import RefundOrder

_PARTS: Final = ("tax", "shipping")


class RefundExceedsTotal(Conflict):
    """`remaining` is what can still be given back: of the order, or the pieces of `product_id`."""

    slug = "refund-exceeds-total"
    example = (
        "20 GBP is more than what remains of order A-1: 5.00",
        {"order_id": "A-1", "remaining": "5.00", "currency": "GBP"},
    )


def decide(order: Order, order_id: str, refund_id: str, command: RefundOrder, now: datetime) -> OrderRefunded | None:
    """The refund; None if the order has it already, with this content.

    Raises `RefundExceedsTotal`, `NotFound`, `InvalidInput`, `ImpossibleStep` with the order's status, or `Conflict` if
    another refund has that id.
    """
    _check_status(order, order_id, command)
    earlier = order.refunds.get(refund_id)
    others = {name: refund for name, refund in order.refunds.items() if name != refund_id}
    try:
        refund = _decide(replace(order, refunds=others), order_id, refund_id, command, now)
        if earlier is None:
            return refund
        if _content(earlier, command) == _content(refund_in(refund.as_json()) or {}, command):
            return None
    except RefundExceedsTotal:
        if earlier is None:
            raise
    raise Conflict(f"order {order_id} has another refund {refund_id}", order_id=order_id, refund_id=refund_id)


def restocked(refund: OrderRefunded) -> dict[str, int]:
    """The pieces that go back on the shelf, by product."""
    pieces: dict[str, int] = {}
    for line in refund.items:
        if line.restock and line.quantity:
            pieces[line.product_id] = pieces.get(line.product_id, 0) + line.quantity
    return pieces


def _check_status(order: Order, order_id: str, command: RefundOrder) -> None:
    if order.status is None:
        raise NotFound(f"there is no order {order_id}", order_id=order_id)
    if not is_open(order) or not order.paid:
        raise _impossible(order, f"order {order_id} is {order.status} and was not paid: there is nothing to give back")
    if order.status == "cancelled" and not order.handed_out and any(line.restock for line in command.items):
        raise _impossible(
            order, f"order {order_id} was cancelled before it was shipped: its pieces never left the shelf"
        )


def _impossible(order: Order, message: str) -> ImpossibleStep:
    return ImpossibleStep(message, status=order.status, step="refund")


def _decide(order: Order, order_id: str, refund_id: str, command: RefundOrder, now: datetime) -> OrderRefunded:
    if order.due is None:
        raise InvalidInput(f"order {order_id} says no total, so nothing says what remains of it")
    _check_pieces(order, command)
    remaining = _sum([order.due, -order.refunded])
    parts = {name: getattr(command, name) or Decimal(0) for name in _PARTS}
    of_items = _sum(line.amount for line in command.items)
    amount = command.amount
    if amount is None and command.items:
        amount = _sum([of_items, parts["shipping"]])
    elif amount is None:
        amount, parts = remaining, _all_parts(order, command, remaining)
    if amount > remaining or remaining <= 0:
        raise RefundExceedsTotal(
            f"{amount} {order.currency} is more than what remains of order {order_id}: {remaining}",
            order_id=order_id,
            remaining=format(remaining, "f"),
            currency=order.currency,
        )
    _check_amounts(order, amount, of_items, parts)
    return OrderRefunded(
        refund_id=refund_id,
        refunded_at=command.refunded_at or now,
        amount=amount,
        currency=order.currency or NO_CURRENCY,
        reason=command.reason,
        items=command.items,
        **parts,
    )


def _check_amounts(order: Order, amount: Decimal, of_items: Decimal, parts: Mapping[str, Decimal]) -> None:
    if amount <= 0:
        raise InvalidInput("nothing would be given back", field="amount")
    if of_items > amount:
        raise InvalidInput(f"the items come to {of_items}, more than the amount of {amount}", field="items")
    if sum(parts.values()) > amount:
        raise InvalidInput(f"tax and shipping are more than the amount of {amount}", field="amount")
    for name, part in parts.items():
        if part > (most := _remaining_part(order, name)):
            raise InvalidInput(f"{part} is more than what remains of the order's {name}: {most}", field=name)


def _check_pieces(order: Order, command: RefundOrder) -> None:
    """Lenient with what was appended as bare events: what cannot be read there counts for nothing."""
    ordered = _pieces(order.items)
    given = _pieces(item for refund in order.refunds.values() for item in refund["items"])
    for place, line in enumerate(command.items):
        product_id = line.product_id
        if product_id not in ordered:
            raise InvalidInput(f"{product_id} is not in the order", field=f"items.{place}.product_id")
        given[product_id] = given.get(product_id, 0) + line.quantity
        if given[product_id] > ordered[product_id]:
            remaining = ordered[product_id] - given[product_id] + line.quantity
            raise RefundExceedsTotal(
                f"{line.quantity} pieces of {product_id} are more than what remains of them: {remaining}",
                product_id=product_id,
                remaining=remaining,
            )


def _pieces(items: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    pieces: dict[str, int] = {}
    for product_id, quantity in _read_pieces(items):
        pieces[product_id] = pieces.get(product_id, 0) + quantity
    return pieces


def _read_pieces(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    for item in items:
        product_id, quantity = item.get("product_id"), read_whole_number(item.get("quantity"))
        if isinstance(product_id, str) and quantity is not None:
            yield product_id, quantity


def _all_parts(order: Order, command: RefundOrder, amount: Decimal) -> dict[str, Decimal]:
    """Of all that remains: the tax and the shipping that remain, unless the caller says others."""
    parts: dict[str, Decimal] = {}
    for name in _PARTS:
        said = getattr(command, name)
        parts[name] = min(_remaining_part(order, name), amount - sum(parts.values())) if said is None else said
    return parts


def _remaining_part(order: Order, name: str) -> Decimal:
    given = (Decimal(refund[name]) for refund in order.refunds.values() if refund["currency"] == order.currency)
    return max(_sum([Decimal(getattr(order, name)), *(part.copy_negate() for part in given)]), Decimal(0))


def _content(refund: Mapping[str, Any], command: RefundOrder) -> list[Any]:
    """What two refunds of one id are compared by; the time only if it was said."""
    lines = [
        (item.get("product_id"), item.get("quantity"), str(item.get("amount")), item.get("restock", False))
        for item in refund["items"]
    ]
    money = [Decimal(refund[name]) for name in ("amount", *_PARTS)]
    return [*money, refund["currency"], refund["reason"], lines, refund["refunded_at"] if command.refunded_at else None]


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    with localcontext(prec=60):
        return sum(numbers, start=Decimal(0))
