"""This deployment's Inngest functions: those that every deployment has, and the shop's, one a file.

File, function and id bear one name (`run_daily_etl.py`, `run_daily_etl`, `run-daily-etl`). To add one of your own, put
a file here that holds a function made with `@client.create_function`, and its name below. With the trigger
`inngest.TriggerEvent(event="event/OrderPlaced")` the relay sends it every stored `OrderPlaced`.
"""

from functions.project_customers import project_customers
from functions.project_inventory import project_inventory
from functions.project_orders import project_orders
from functions.project_products import project_products
from functions.project_refunds import project_refunds
from functions.run_daily_etl import run_daily_etl
from penstock.inngest import standard

FUNCTIONS = (
    *standard.FUNCTIONS,
    project_customers,
    project_inventory,
    project_orders,
    project_products,
    project_refunds,
    run_daily_etl,
)

__all__ = ["FUNCTIONS"]
