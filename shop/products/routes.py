"""Products, from their read model."""

from typing import Annotated

from fastapi import Query, Request
from pydantic import Field

from penstock.http.parameters import After, Answer, Limit, ProductId, WaitFor
from penstock.http.read_your_writes import read_when_ready
from penstock.http.routing import Json, requires, router
from shop.products.queries import list_products, read_product

routes = router()


class ListedProductOut(Answer):
    product_id: str = Field(examples=["MUG"])
    name: str | None = Field(examples=["Mug"], description="As listed last, else as the latest order line names it.")
    category: str | None = Field(examples=["mugs"])
    unit_price: str | None = Field(description="Null for a product known from order lines alone.", examples=["7.50"])
    listed_at: str | None


class ProductOut(ListedProductOut):
    """`position`: the read model knows of everything up to there."""

    position: int


class ProductsOut(Answer):
    """`position`: the read model knows of everything up to there."""

    products: list[ListedProductOut]
    next: str | None = Field(description="`after` of the next page; null at the end.")
    position: int


@routes.get("/v1/products", responses={200: {"model": ProductsOut}}, openapi_extra=requires("read"))
async def read_products(
    request: Request,
    category: Annotated[str | None, Query(min_length=1, max_length=200, description="Written just so.")] = None,
    after: After = None,
    limit: Limit = 100,
    wait_for: WaitFor = None,
) -> Json:
    """List products, listed or seen on an order line, by their ids."""
    return Json(
        await read_when_ready(
            request,
            "products",
            wait_for,
            lambda found: list_products(found, category=category, after=after, max_count=limit),
        )
    )


@routes.get("/v1/products/{product_id:path}", responses={200: {"model": ProductOut}}, openapi_extra=requires("read"))
async def read_one_product(request: Request, product_id: ProductId, wait_for: WaitFor = None) -> Json:
    """Read a product from the read model, as of its `position`."""
    return Json(await read_when_ready(request, "products", wait_for, lambda found: read_product(found, product_id)))
