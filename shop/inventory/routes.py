"""Inventory: adjust a product's pieces, and the read model."""

from typing import Annotated, Literal

from fastapi import Query, Request
from pydantic import Field

from penstock.http.background import relay_after
from penstock.http.parameters import Answer, IdempotencyKey, ProductId, WaitFor
from penstock.http.read_your_writes import context_of, read_when_ready
from penstock.http.routing import Json, requires, router, settings_of
from shop.inventory import commands, inputs
from shop.inventory.queries import read_inventory

routes = router()


class InventoryAnswer(Answer):
    """Pass `position` as `wait_for` to read what this command did."""

    product_id: str = Field(examples=["MUG"])
    on_hand: int = Field(examples=[12])
    reserved: int = Field(examples=[2], description="Held by orders that are not shipped yet.")
    available: int = Field(examples=[10])
    version: int
    position: int
    duplicate: bool = Field(description="An earlier call with this Idempotency-Key did it; this repeats its answer.")


class InventoryChangeOut(Answer):
    position: int
    event_type: Literal["InventoryAdjusted", "StockReserved"]
    on_hand_change: int
    reserved_change: int
    on_hand_after: int
    reserved_after: int
    reason: str | None
    order_id: str | None
    occurred_at: str


class InventoryOut(Answer):
    """`position`: the read model knows of everything up to there."""

    product_id: str = Field(examples=["MUG"])
    on_hand: int = Field(examples=[12])
    reserved: int = Field(examples=[2])
    available: int = Field(examples=[10])
    updated_at: str
    history: list[InventoryChangeOut] = Field(description="The latest changes, newest first, at most 4 MB.")
    position: int


@routes.post(
    "/v1/inventory/{product_id:path}/adjust",
    responses={200: {"model": InventoryAnswer}},
    openapi_extra=requires("write"),
)
def adjust_inventory(
    request: Request, product_id: ProductId, body: inputs.AdjustInventory, idempotency_key: IdempotencyKey = None
) -> Json:
    """Add pieces (`delta` above 0) or take some away. From the first time on the product's stock is tracked.

    409 `insufficient-stock` if fewer are available than are to be taken away.
    """
    context = context_of(request, idempotency_key)
    answer = commands.adjust_inventory(settings_of(request), product_id, body, context)
    content = {
        "product_id": product_id,
        "on_hand": answer.state.on_hand,
        "reserved": answer.state.reserved,
        "available": answer.state.available,
        "version": answer.version,
        "position": answer.position,
        "duplicate": answer.duplicate,
    }
    return relay_after(request, Json(content))


@routes.get("/v1/inventory/{product_id:path}", responses={200: {"model": InventoryOut}}, openapi_extra=requires("read"))
async def read_inventory_model(
    request: Request,
    product_id: ProductId,
    wait_for: WaitFor = None,
    changes: Annotated[int, Query(ge=0, le=1000, description="How many of the latest changes to show.")] = 20,
) -> Json:
    """Read a product's inventory from the read model, as of its `position`."""
    return Json(
        await read_when_ready(
            request, "inventory", wait_for, lambda connection: read_inventory(connection, product_id, changes=changes)
        )
    )
