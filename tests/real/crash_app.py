"""The real app, with two functions of a user's own that note each event they are told of.

Both may try often: the stand-in's pauses are a fiftieth of the real ones here, and what is away is away for seconds.
"""

import inngest

from functions import FUNCTIONS
from penstock.http.app import create_app
from penstock.inngest.client import client, settings
from penstock.postgres import pool
from shop import DOMAIN


@client.create_function(
    fn_id="note-everything",
    trigger=inngest.TriggerEvent(event="event/*"),
    batch_events=inngest.Batch(max_size=50, timeout=1000),
    retries=20,
)
def note_everything(ctx: inngest.ContextSync) -> None:
    _note("everything", [event.id for event in ctx.events])


@client.create_function(fn_id="note-orders", trigger=inngest.TriggerEvent(event="event/OrderPlaced"), retries=20)
def note_orders(ctx: inngest.ContextSync) -> None:
    ctx.step.run("note", _note, "orders", [ctx.event.id])


def _note(listener: str, event_ids: list[str]) -> None:
    with pool.connection(settings()) as connection:
        connection.execute("insert into public.told select %s, unnest(%s::uuid[])", (listener, event_ids))


app = create_app(DOMAIN, functions=[*FUNCTIONS, note_everything, note_orders])
