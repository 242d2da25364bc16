"""What a caller says in a command on an order, checked by the limits of the events that it becomes."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field

from penstock.payloads import Payload
from penstock.types import Currency, Identifier, MoneySum, OccurredAt, Text
from shop.events import Adjustments, Detail, OrderLine, OrderPlaced, check_sum


def _shown_as(**fields: Any) -> ConfigDict:
    """What the body is shown as in the OpenAPI document."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class PlaceOrder(Adjustments):
    """Without `order_id` one is made; without `placed_at` the order is placed now.

    Without `currency` it is in that of the setting PENSTOCK_CURRENCY; where there is none, each order names one.
    """

    model_config = _shown_as(
        order_id="A-1",
        customer_id="C-7",
        currency="GBP",
        shipping="2.50",
        items=[{"product_id": "MUG", "name": "Mug", "quantity": 2, "unit_price": "7.50"}],
    )

    order_id: Identifier | None = None
    customer_id: Identifier | None = None
    currency: Currency | None = None
    country: Text | None = None
    placed_at: OccurredAt | None = None
    items: Annotated[tuple[OrderLine, ...], Field(min_length=1, max_length=1000), AfterValidator(check_sum)]

    def placed(self, order_id: str, now: datetime, currency: str) -> OrderPlaced:
        """In that currency, if the command does not name one."""
        said = dict(self) | {"order_id": order_id, "placed_at": self.placed_at or now}
        return OrderPlaced(**said | {"currency": self.currency or currency})


class PayOrder(Payload):
    """Without `amount` the order's total is paid; another amount is refused."""

    model_config = _shown_as(method="card", transaction_id="pi_3MtwBw")

    amount: MoneySum | None = None
    method: Text | None = None
    transaction_id: Detail = None


class ShipOrder(Payload):
    model_config = _shown_as(carrier="DHL", tracking="JD0146", warehouse="north")

    carrier: Text | None = None
    tracking: Text | None = None
    warehouse: Detail = None


class DeliverOrder(Payload):
    model_config = _shown_as(signature="A. Miller")

    signature: Detail = None


class CompleteOrder(Payload):
    pass


class CancelOrder(Payload):
    model_config = _shown_as(reason="ordered twice")

    reason: Text | None = None
