"""Kill -9 of Postgres, of the app and of the Inngest stand-in at random points of a mixed load: nothing is lost.

`CRASH_ROUNDS` rounds (20) from `CRASH_SEED` (a fresh one, printed). All is judged at the end, with everything up
again: what the store holds against what was answered, the read models against a rebuild, the listeners against the
store, and the runs that gave up against the dead letters.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import psycopg
import pytest

from penstock.projections import projections, rebuild
from penstock.settings import Settings
from tests.e2e.inngest_stack import wait_for
from tests.real.conftest import Figures
from tests.real.crash_load import (
    FILE_ORDERS,
    LINES_AN_ORDER,
    Books,
    Client,
    Load,
    append,
    deliver,
    restock,
    send_file,
)
from tests.real.crash_stage import APP, BACKEND, INNGEST, POSTGRES, POSTMASTER, Stage, raised
from tests.shop.projections.store import read_models

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "20"))
SEED = int(os.environ.get("CRASH_SEED", random.randrange(10**6)))
VICTIMS = ((BACKEND,), (POSTMASTER,), (POSTGRES,), (APP,), (INNGEST,), (APP, INNGEST), (POSTGRES, APP, INNGEST))
RECOVERY_SECONDS = 40
SETTLING_SECONDS = 120


@pytest.fixture
def stage() -> Iterator[Stage]:
    with raised(SEED) as stage:
        yield stage


def test_what_was_acknowledged_survives_every_crash(stage: Stage, figures: Figures) -> None:
    began = time.monotonic()
    print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}")
    load = Load(stage.stack.app_url, SEED)
    with load.patient_client() as client:
        restock(client, 1000)
    load.start()
    try:
        for victims in deck(stage.luck):
            crash(stage, load, victims)
    finally:
        load.stop()
    with load.patient_client() as client:
        settle(stage, client)
    assert load.books.faults == []
    check_store(stage, load.books)
    check_consequences(stage, load.books)
    check_projections(stage)
    check_dead_letters(stage)
    outcomes = Counter(each.outcome for each in load.books.sent)
    [events] = stage.column("select count(*) from public.event_store")
    figures["crashes"] = (
        f"seed {SEED}, {ROUNDS} in {time.monotonic() - began:.0f} s, requests {dict(outcomes)}, {events} events, "
        f"{len(stage.column(GAVE_UP))} runs gave up"
    )


def deck(luck: random.Random) -> list[tuple[str, ...]]:
    """The victims of each round: all kinds equally often, in random order."""
    drawn: list[tuple[str, ...]] = []
    while len(drawn) < ROUNDS:
        drawn += luck.sample(VICTIMS, len(VICTIMS))
    return drawn[:ROUNDS]


def crash(stage: Stage, load: Load, victims: tuple[str, ...]) -> None:
    time.sleep(stage.luck.uniform(0.2, 2))
    load.check()
    for victim in victims:
        stage.kill(victim)
    time.sleep(stage.luck.choice([0, 0.5]))
    for victim in stage.luck.sample(victims, len(victims)):
        stage.start_again(victim)
    before = load.books.acknowledged()
    wait_for(lambda: load.books.acknowledged() >= before + 10, RECOVERY_SECONDS, f"answers after a kill of {victims}")


def settle(stage: Stage, client: Client) -> None:
    """One more of each, and a sweep, wake what waits for one; sending a file again goes on with its import."""
    stage.stack.wait_until_synced()
    deliver(client)
    for name in client.books.files:
        finish_import(client, name)
    wait_for(lambda: stage.column(PENDING) == [], SETTLING_SECONDS, "the inbox")
    append(client)
    stage.stack.send("penstock/sweep.requested", {})
    wait_for(lambda: stage.column(BEHIND) == [], SETTLING_SECONDS, "the subscriptions")
    with suppress(AssertionError):
        wait_for(lambda: stage.column(UNHEARD) == [], SETTLING_SECONDS)
    assert stage.query(UNHEARD) == []


def finish_import(client: Client, name: str) -> None:
    """Every line has exactly one fate, however often the work was cut off."""
    address = send_file(client, name)["status_url"]

    def completed() -> dict[str, Any]:
        account: dict[str, Any] = client.http.get(address).raise_for_status().json()
        return account if account["state"] == "completed" else {}

    account = wait_for(completed, SETTLING_SECONDS, f"the import of {name}")
    fates = {fate: account[fate] // FILE_ORDERS for fate in ("read", "loaded", "skipped", "duplicate", "pending")}
    assert fates == {"read": LINES_AN_ORDER, "loaded": 2, "skipped": 1, "duplicate": 0, "pending": 0}


PENDING = "select delivery_id from raw.webhook_inbox where status = 'pending'"
BEHIND = "select subscription from ops.subscriptions where position < penstock.high_water_mark()"
UNHEARD = """
select 'everything', e.id from public.event_store as e
where not exists (select from public.told as t where t.event_id = e.id and t.listener = 'everything')
union all
select 'orders', e.id from public.event_store as e
where e.event_type = 'OrderPlaced'
  and not exists (select from public.told as t where t.event_id = e.id and t.listener = 'orders')
"""
GAVE_UP = "select reference from ops.dead_letters where kind = 'run'"


def check_store(stage: Stage, books: Books) -> None:
    """Acknowledged: there once. Refused: not there. Nobody can tell: at most once."""
    for kind, column in STORED.items():
        stored = Counter(stage.column(f"select {column}"))
        assert [reference for reference, times in stored.items() if times > 1] == []
        assert books.references(kind, "acknowledged") - set(stored) == set()
        assert books.references(kind, "refused") & set(stored) == set()
        assert set(stored) - books.references(kind, "acknowledged") - books.references(kind, "unknown") == set()
    assert stage.query(GAPS) == []
    assert stage.query(OTHER_HEADS) == []


# What the books call it: where the store has it.
STORED = {
    "append": "id::text from public.event_store where aggregate_type = 'note'",
    "command": "metadata ->> 'idempotency_key' from public.event_store where metadata ? 'idempotency_key'",
    "delivery": "aggregate_id from public.event_store where aggregate_type = 'shop'",
}
GAPS = """
select aggregate_type, aggregate_id, array_agg(version order by version) from public.event_store
group by 1, 2 having min(version) <> 1 or max(version) <> count(*) or count(distinct version) <> count(*)
"""
OTHER_HEADS = """
select * from (
  select aggregate_type, aggregate_id, max(version) as version from public.event_store group by 1, 2
) as e full join penstock.streams as s using (aggregate_type, aggregate_id)
where e.version is distinct from s.version
"""


def check_consequences(stage: Stage, books: Books) -> None:
    """What one request does to several streams it does to all of them, and what was acknowledged is as it was said."""
    stored = {id: rest for id, *rest in stage.query("select id::text, version, position from public.event_store")}
    for append_ in books.appended:
        assert [[event["version"], event["position"]] for event in append_.answer["events"]] == [
            stored[id] for id in append_.reference
        ]
    for append_ in books.sent:
        if append_.kind == "append" and append_.outcome == "unknown":
            assert len({id in stored for id in append_.reference}) == 1
    assert stage.query(UNRESERVED) == []
    assert stage.query(HALF_IMPORTED) == []


UNRESERVED = """
select o.id, count(r.id) from public.event_store as o
left join public.event_store as r on r.event_type = 'StockReserved' and r.metadata ->> 'causation_id' = o.id::text
where o.event_type = 'OrderPlaced' and o.metadata ->> 'source' = 'api'
group by o.id having count(r.id) <> 1
"""
HALF_IMPORTED = """
select aggregate_id, array_agg(event_type order by version) from public.event_store
where aggregate_type = 'order' and metadata ->> 'source' <> 'api'
group by 1 having array_agg(event_type order by version) <> '{OrderPlaced,OrderCompleted}'
"""


def check_projections(stage: Stage) -> None:
    settings = Settings(database_url=stage.stack.database_url, environment="local")
    with psycopg.connect(stage.stack.database_url, autocommit=True) as connection:
        folded = read_models(connection)
        assert projections()
        for name in projections():
            rebuilt = rebuild(settings, name)
            assert (name, rebuilt.deleted, rebuilt.inserted, rebuilt.parked) == (name, 0, 0, 0)
        assert read_models(connection) == folded
    assert all(folded[table] for table in ("orders", "order_items", "revenue_by_hour", "inventory_history"))


def check_dead_letters(stage: Stage) -> None:
    """A letter is written by a run of its own, which may be waiting for its next attempt; looking in kills it again."""
    gave_up = stage.runs_that_gave_up()
    with suppress(AssertionError):
        wait_for(lambda: set(gave_up) <= set(stage.column(GAVE_UP)), SETTLING_SECONDS)
    letters = set(stage.column(GAVE_UP))
    assert {run_id: function for run_id, function in gave_up.items() if run_id not in letters} == {}
