"""The least app that does what Penstock's does with the functions: serves them, appends events, wakes the relay.

It has two functions of a user's own: one that notes each `OrderPlaced` it is told of, one that fails on demand.
"""

import warnings
from typing import Any

import fastapi
import inngest
from psycopg.types.json import Jsonb

from functions import FUNCTIONS
from penstock import event_store
from penstock.domain import install
from penstock.errors import Unavailable
from penstock.event_store import ANY_VERSION, NewEvent
from penstock.inngest.client import client, register, registered, settings
from penstock.inngest.relay import relay
from penstock.postgres import pool
from shop import DOMAIN

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own pydantic models
    import inngest.fast_api

app = fastapi.FastAPI()


# Many retries: pauses between attempts are a fiftieth of the real ones here, and a killed app is away for seconds.
@client.create_function(fn_id="note-order", trigger=inngest.TriggerEvent(event="event/OrderPlaced"), retries=20)
def note_order(ctx: inngest.ContextSync) -> None:
    with pool.connection(settings()) as connection:
        connection.execute(
            "insert into public.told (event_id, data) values (%s, %s)",
            (ctx.event.id, Jsonb(dict(ctx.event.data))),
        )


@client.create_function(fn_id="fail-on-demand", trigger=inngest.TriggerEvent(event="test/fail"), retries=1)
def fail_on_demand(ctx: inngest.ContextSync) -> str:
    with pool.connection(settings()) as connection:
        connection.execute("insert into public.told (event_id, data) values ('attempt', '{}')")
        row = connection.execute("select count(*) from public.told where event_id = 'healed'").fetchone()
    if row == (0,):
        raise Unavailable("not before it is healed: postgresql://u:hunter2@h/d", retry_after=1)
    return "done"


install(DOMAIN)
register([*FUNCTIONS, note_order, fail_on_demand])
inngest.fast_api.serve(app, client, registered)


@app.post("/append/{aggregate_type}/{aggregate_id}")
def append(aggregate_type: str, aggregate_id: str, events: list[dict[str, Any]]) -> dict[str, Any]:
    new = [NewEvent(event["event_type"], event["payload"], event.get("metadata", {})) for event in events]
    with pool.connection(settings()) as connection:
        appended = event_store.append(connection, aggregate_type, aggregate_id, ANY_VERSION, new)
    relay.notify()
    return {"position": appended.position, "ids": [str(event.id) for event in new]}
