"""What a caller says to give money back."""

from typing import Annotated

from pydantic import ConfigDict, Field

from penstock.payloads import Payload
from penstock.types import Identifier, MoneySum, OccurredAt, Text
from shop.events import MoneyBack, RefundedLine


class RefundOrder(Payload):
    """Without `amount`: what the `items` say and `shipping`; without `items` too, all that remains of the order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [{"product_id": "MUG", "quantity": 1, "amount": "7.50", "restock": True}],
                    "shipping": "2.50",
                    "reason": "broken",
                }
            ]
        }
    )

    refund_id: Identifier | None = None
    amount: MoneyBack | None = None
    tax: MoneySum | None = None
    shipping: MoneySum | None = None
    items: Annotated[tuple[RefundedLine, ...], Field(max_length=1000)] = ()
    reason: Text | None = None
    refunded_at: OccurredAt | None = None
