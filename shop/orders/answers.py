"""An order as answers over HTTP show it, in a list and alone."""

from pydantic import Field

from penstock.http.parameters import Answer
from shop.orders.order import Status


class ListedOrderOut(Answer):
    order_id: str = Field(examples=["A-1"])
    customer_id: str | None = Field(examples=["C-7"])
    status: Status
    currency: str = Field(examples=["GBP"])
    country: str | None
    total: str = Field(examples=["17.50"])
    gross_sales: str = Field(examples=["15.00"], description="What the lines cost before discounts.")
    discount: str = Field(examples=["0"])
    shipping: str = Field(examples=["2.50"])
    tax: str = Field(examples=["0"])
    tax_included: bool
    items_count: int = Field(examples=[2], description="Pieces ordered, over all lines.")
    shipping_address: str | None
    payment_method: str | None
    transaction_id: str | None
    carrier: str | None
    tracking: str | None
    warehouse: str | None
    signature: str | None
    placed_at: str
    paid_at: str | None
    shipped_at: str | None
    delivered_at: str | None
    completed_at: str | None
    cancelled_at: str | None
    version: int
