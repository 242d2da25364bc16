"""Commands against the store: stock under a race, retries, and what ends up in the streams."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import psycopg
import pytest

from penstock.commands import CommandContext
from penstock.errors import EventIdReused, ImpossibleStep, InsufficientStock, InvalidInput, NotFound, PenstockError
from penstock.event_store import load_any, read_events, read_stream
from penstock.postgres import pool as database
from penstock.projections import advance_all
from penstock.settings import Settings
from shop.inventory.commands import adjust_inventory
from shop.inventory.fold import FOLD as INVENTORY
from shop.inventory.inputs import AdjustInventory
from shop.inventory.inventory import Inventory
from shop.inventory.queries import read_inventory
from shop.orders import commands
from shop.orders.fold import FOLD as ORDER
from shop.orders.inputs import CancelOrder, CompleteOrder, DeliverOrder, PayOrder, PlaceOrder, ShipOrder
from shop.orders.order import Order
from shop.orders.queries import read_order

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
STEPS = {"pay": PayOrder, "ship": ShipOrder, "deliver": DeliverOrder, "complete": CompleteOrder, "cancel": CancelOrder}


def context(key: str | None = None, actor: str = "till") -> CommandContext:
    return CommandContext(NOW, actor, "test", "correlation-1", "request-1", key)


def order(*products: tuple[str, int], order_id: str | None = None, **fields) -> PlaceOrder:
    items = [{"product_id": name, "quantity": quantity, "unit_price": "2.50"} for name, quantity in products]
    return PlaceOrder.model_validate({"order_id": order_id, "items": items, **fields})


def place(
    settings: Settings, *products: tuple[str, int], order_id: str | None = None, key: str | None = None, **fields
):
    return commands.place_order(settings, order(*products, order_id=order_id, **fields), context(key))


def step(settings: Settings, order_id: str, name: str, key: str | None = None, **details):
    return commands.step_order(settings, order_id, name, STEPS[name](**details), context(key))


def adjust(settings: Settings, product_id: str, delta: int, key: str | None = None):
    return adjust_inventory(settings, product_id, AdjustInventory(delta=delta, reason="count"), context(key))


def stock(settings: Settings, product_id: str) -> tuple[int, int, int]:
    with database.connection(settings) as connection:
        state = load_any(connection, "inventory", product_id)[0].state
    return state["on_hand"], state["reserved"], state["on_hand"] - state["reserved"]


def race(number: int, call: Callable[[int], Any]) -> list[Any]:
    barrier = Barrier(number)

    def run(index: int) -> Any:
        barrier.wait()
        try:
            return call(index)
        except PenstockError as error:
            return error

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(run, range(number)))


def test_an_order_is_in_the_currency_that_it_names_or_in_that_of_the_settings(settings: Settings) -> None:
    nobody = replace(settings, currency=None)
    assert place(settings, ("MUG", 1), currency="EUR").state.currency == "EUR"
    assert place(settings, ("MUG", 1)).state.currency == "GBP"
    assert place(nobody, ("MUG", 1), currency="EUR").state.currency == "EUR"
    with pytest.raises(InvalidInput, match=r"^currency: missing, and PENSTOCK_CURRENCY is not set: [^:]*$") as refused:
        place(nobody, ("MUG", 1), order_id="A-1")
    assert [fault["field"] for fault in refused.value.details["errors"]] == ["currency"]
    with pytest.raises(NotFound):
        step(settings, "A-1", "pay")


def test_a_repeat_is_answered_in_the_currency_of_the_first_call(settings: Settings) -> None:
    first = place(settings, ("MUG", 1), order_id="A-1", key="k")
    for now in ("USD", None):
        again = place(replace(settings, currency=now), ("MUG", 1), order_id="A-1", key="k")
        assert (again.duplicate, again.state.currency, again.position) == (True, "GBP", first.position)


def test_racing_orders_never_sell_more_than_there_is(settings: Settings) -> None:
    adjust(settings, "MUG", 10)
    adjust(settings, "TEA", 100)
    # both orders of products, so that careless locking would deadlock
    baskets = [(("MUG", 1), ("TEA", 2)), (("TEA", 2), ("MUG", 1))]
    results = race(16, lambda index: place(settings, *baskets[index % 2], order_id=f"A-{index}"))
    refused = [each for each in results if isinstance(each, Exception)]
    assert len(refused) == 6, refused
    assert all(isinstance(each, InsufficientStock) for each in refused), refused
    assert refused[0].details == {"product_id": "MUG", "available": 0, "requested": 1}
    assert stock(settings, "MUG") == (10, 10, 0)
    assert stock(settings, "TEA") == (100, 20, 80)


def test_a_refused_order_leaves_nothing_behind(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 5)
    adjust(settings, "TEA", 1)
    before = read_events(connection)
    with pytest.raises(InsufficientStock, match="TEA"):
        place(settings, ("MUG", 2), ("TEA", 2), order_id="A-1")
    assert read_events(connection) == before


def test_lines_of_one_product_are_reserved_together(settings: Settings) -> None:
    adjust(settings, "MUG", 5)
    with pytest.raises(InsufficientStock):
        place(settings, ("MUG", 3), ("MUG", 3))
    place(settings, ("MUG", 3), ("MUG", 2))
    assert stock(settings, "MUG") == (5, 5, 0)


def test_products_without_an_inventory_are_not_checked(settings: Settings, connection: psycopg.Connection) -> None:
    place(settings, ("POSTAGE", 1000), order_id="A-1")
    assert read_stream(connection, "inventory", "POSTAGE") == []


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((), (10, 4, 6)),
        (("pay",), (10, 4, 6)),
        (("cancel",), (10, 0, 10)),
        (("pay", "cancel"), (10, 0, 10)),
        (("pay", "ship"), (6, 0, 6)),
        (("pay", "ship", "deliver", "complete"), (6, 0, 6)),
        (("pay", "complete"), (6, 0, 6)),
    ],
)
def test_stock_follows_the_order_in_store_and_read_model(
    settings: Settings, connection: psycopg.Connection, steps: tuple[str, ...], expected: tuple[int, int, int]
) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4), ("UNTRACKED", 1), order_id="A-1")
    for name in steps:
        step(settings, "A-1", name)
    assert stock(settings, "MUG") == expected
    advance_all(settings)
    read = read_inventory(connection, "MUG")
    assert (read["on_hand"], read["reserved"], read["available"]) == expected
    assert read["history"][0]["on_hand_after"] - read["history"][0]["reserved_after"] == expected[2]


def test_a_step_taken_by_many_at_once_is_taken_once(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4), order_id="A-1")
    results = race(8, lambda _: step(settings, "A-1", "cancel"))
    assert sum(isinstance(each, ImpossibleStep) for each in results) == 7, results
    assert stock(settings, "MUG") == (10, 0, 10)
    assert [event.event_type for event in read_stream(connection, "order", "A-1")] == ["OrderPlaced", "OrderCancelled"]


def test_adjustments_that_race_all_count(settings: Settings) -> None:
    results = race(8, lambda index: adjust(settings, "MUG", index + 1))
    assert not [each for each in results if isinstance(each, Exception)]
    assert stock(settings, "MUG") == (36, 0, 36)


def test_what_orders_hold_cannot_be_adjusted_away(settings: Settings) -> None:
    adjust(settings, "MUG", 10)
    place(settings, ("MUG", 4))
    with pytest.raises(InsufficientStock) as refused:
        adjust(settings, "MUG", -7)
    assert refused.value.details == {"product_id": "MUG", "available": 6, "requested": 7}
    assert adjust(settings, "MUG", -6).state.available == 0


def test_a_repeated_command_answers_as_the_first_time(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    first = place(settings, ("MUG", 4), key="k1")
    paid = step(settings, first.aggregate_id, "pay", key="k2")
    step(settings, first.aggregate_id, "ship")
    taken = adjust(settings, "MUG", -6, key="k3")
    before = read_events(connection)
    for earlier, again in (
        (first, place(settings, ("MUG", 4), key="k1")),
        (paid, step(settings, first.aggregate_id, "pay", key="k2")),
        (taken, adjust(settings, "MUG", -6, key="k3")),
    ):
        assert again.duplicate
        assert not earlier.duplicate
        assert (again.aggregate_id, again.state, again.version, again.position) == (
            earlier.aggregate_id, earlier.state, earlier.version, earlier.position,
        )  # fmt: skip
    assert read_events(connection) == before


def test_a_key_used_for_another_request_is_refused(settings: Settings) -> None:
    place(settings, ("MUG", 1), order_id="A-1", key="k")
    for attempt in (
        lambda: place(settings, ("MUG", 2), order_id="A-1", key="k"),
        lambda: place(settings, ("MUG", 1), order_id="A-2", key="k"),
        lambda: step(settings, "A-1", "pay", key="k"),
        lambda: adjust(settings, "MUG", 1, key="k"),
    ):
        with pytest.raises(EventIdReused, match="another request"):
            attempt()


def test_two_callers_may_use_the_same_key(settings: Settings) -> None:
    one = commands.place_order(settings, order(("MUG", 1)), context("k", actor="till"))
    other = commands.place_order(settings, order(("MUG", 1)), context("k", actor="web"))
    assert one.aggregate_id != other.aggregate_id
    assert not other.duplicate


@pytest.mark.parametrize("number", range(5))
def test_twins_that_take_the_last_piece_are_all_answered(settings: Settings, number: int) -> None:
    adjust(settings, "MUG", 1)
    results = race(8, lambda _: place(settings, ("MUG", 1), key="k"))
    assert not [each for each in results if isinstance(each, Exception)], results
    assert sorted(each.duplicate for each in results) == [False] + [True] * 7


def test_twins_with_one_key_place_one_order(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    results = race(8, lambda _: place(settings, ("MUG", 2), key="k"))
    assert not [each for each in results if isinstance(each, Exception)], results
    assert len({each.aggregate_id for each in results}) == 1
    assert sorted(each.duplicate for each in results) == [False] + [True] * 7
    assert stock(settings, "MUG") == (10, 2, 8)


def test_events_lead_back_to_their_cause(settings: Settings, connection: psycopg.Connection) -> None:
    adjust(settings, "MUG", 10)
    placed_at = "2026-11-20T08:00:00Z"
    answer = place(settings, ("MUG", 2), order_id="A-1", placed_at=placed_at)
    [placed] = read_stream(connection, "order", "A-1")
    reserved = read_stream(connection, "inventory", "MUG")[-1]
    assert placed.metadata == {
        "correlation_id": "correlation-1",
        "causation_id": "request-1",
        "actor": "till",
        "source": "test",
        "occurred_at": placed_at,
    }
    assert reserved.metadata["causation_id"] == str(placed.id)
    assert reserved.metadata["correlation_id"] == "correlation-1"
    assert reserved.position < placed.position == answer.position


def test_a_step_of_no_order_and_a_second_placing(settings: Settings) -> None:
    with pytest.raises(NotFound):
        step(settings, "A-1", "pay")
    place(settings, ("MUG", 1), order_id="A-1")
    with pytest.raises(ImpossibleStep) as refused:
        place(settings, ("MUG", 1), order_id="A-1")
    assert refused.value.details["status"] == "placed"


def test_states_then_and_now(settings: Settings, connection: psycopg.Connection) -> None:
    place(settings, ("MUG", 1), order_id="A-1")
    step(settings, "A-1", "pay")
    now, fold = load_any(connection, "order", "A-1")
    then, _ = load_any(connection, "order", "A-1", at_version=1)
    assert (fold, now.state["status"], now.version, then.state["status"], then.version) == (
        "order",
        "paid",
        2,
        "placed",
        1,
    )
    before, _ = load_any(connection, "order", "A-1", at=datetime(2000, 1, 1, tzinfo=UTC))
    assert before.version == 0
    by_time, _ = load_any(connection, "order", "A-1", at=then.stored_at)
    assert by_time.version == 1


def test_a_long_stream_is_folded_to_its_end_with_snapshots_and_without(
    settings: Settings, connection: psycopg.Connection
) -> None:
    connection.execute(
        "select public.append_events('inventory', 'MUG', -1, array_agg(gen_random_uuid()),"
        " array_agg(text 'InventoryAdjusted'), array_agg(jsonb_build_object('delta', 1))) from generate_series(1, 2500)"
    )
    assert stock(settings, "MUG") == (2500, 0, 2500)
    place(settings, ("MUG", 7), order_id="A-1")
    assert connection.execute("select count(*) from penstock.snapshots").fetchone()[0] > 0
    with_snapshots = stock(settings, "MUG")
    connection.execute("delete from penstock.snapshots")
    assert stock(settings, "MUG") == with_snapshots == (2500, 7, 2493)


def test_states_survive_being_kept_as_json() -> None:
    state = Order(status="paid", total="1.50", items=({"product_id": "MUG"},))
    for kept in (state, Order()):
        assert ORDER.reducer.restore(json.loads(json.dumps(ORDER.reducer.dump(kept)))) == kept
    for stock_kept in (Inventory(3, 1, {"A": 1}), Inventory()):
        assert INVENTORY.reducer.restore(json.loads(json.dumps(INVENTORY.reducer.dump(stock_kept)))) == stock_kept


def test_the_read_model_has_what_the_commands_did(settings: Settings, connection: psycopg.Connection) -> None:
    place(settings, ("MUG", 2), ("TEA", 1), order_id="A-1", customer_id="C", currency="EUR")
    step(settings, "A-1", "pay")
    advance_all(settings)
    read = read_order(connection, "A-1")
    assert (read["status"], str(read["total"]), read["currency"], read["version"]) == ("paid", "7.50", "EUR", 2)
    assert [(item["product_id"], item["quantity"]) for item in read["items"]] == [("MUG", 2), ("TEA", 1)]
    with pytest.raises(NotFound):
        read_order(connection, "A-2")
