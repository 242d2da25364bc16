"""The sample domain: a shop with orders, an inventory, products and customers.

It shows what a domain is made of, and the figures that a shop wants. A domain of your own is a folder like this one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from penstock.domain import Domain, Local
from penstock.postgres.migrations import read_manifest
from penstock.settings import Settings
from shop.customers import import_target as customers_target
from shop.customers import projection as customers
from shop.customers.compensation import COMPENSATION as CUSTOMERS_UNDONE
from shop.events import EVENTS
from shop.exchange_rates import import_target as exchange_rates_target
from shop.figures.views import VIEWS
from shop.inventory import import_target as inventory_target
from shop.inventory import projection as inventory
from shop.inventory.compensation import COMPENSATION as INVENTORY_UNDONE
from shop.inventory.fold import FOLD as INVENTORY
from shop.orders import import_target as orders_target
from shop.orders import projection as orders
from shop.orders.compensation import COMPENSATION as ORDERS_UNDONE
from shop.orders.fold import FOLD as ORDER
from shop.payments import import_target as payments_target
from shop.products import import_target as products_target
from shop.products import projection as products
from shop.products.compensation import COMPENSATION as PRODUCTS_UNDONE
from shop.refunds import projection as refunds
from shop.refunds.compensation import COMPENSATION as CREDIT_NOTES_UNDONE


# A deployment has neither the command line nor the extra `local`, and an import of a file needs no FastAPI, which is
# 13 MB: what needs them is imported when it is called.
def _routes() -> Sequence[Any]:
    from shop.customers import routes as customers
    from shop.inventory import routes as inventory
    from shop.orders import list_routes as lists_of_orders
    from shop.orders import routes as orders
    from shop.products import routes as products
    from shop.refunds import routes as refunds

    # a customer's orders are below the customers' addresses, so they come before
    ordered = (orders, refunds, inventory, lists_of_orders, customers, products)
    return tuple(each.routes for each in ordered)


def _add_commands(commands: Any) -> None:
    from shop.figures.cli import add_commands

    add_commands(commands)


def _compute_marked_days(settings: Settings) -> None:
    from shop.figures.cli import compute_marked_days

    compute_marked_days(settings)


def _load_sample(local: Local) -> None:
    from shop.sample import load_sample

    load_sample(local)


DOMAIN = Domain(
    "shop",
    events=EVENTS,
    folds=(ORDER, INVENTORY),
    projections=(
        orders.PROJECTION,
        refunds.PROJECTION,
        customers.PROJECTION,
        products.PROJECTION,
        inventory.PROJECTION,
    ),
    targets=(
        orders_target.TARGET,
        payments_target.TARGET,
        customers_target.TARGET,
        products_target.TARGET,
        inventory_target.TARGET,
        exchange_rates_target.TARGET,
    ),
    compensations=(ORDERS_UNDONE, CREDIT_NOTES_UNDONE, CUSTOMERS_UNDONE, PRODUCTS_UNDONE, INVENTORY_UNDONE),
    views=VIEWS,
    routes=_routes,
    commands=(_add_commands,),
    after_import=_compute_marked_days,
    sample=_load_sample,
    migrations=read_manifest(Path(__file__).parent / "migrations.json"),  # `make manifest` writes it
    tables=("public.daily_analytics", "ops.due_days"),
)

__all__ = ["DOMAIN"]
