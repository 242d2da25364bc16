"""An import of events taken back by events: the figures are as before it, and the same file may be loaded again."""

import json
import threading
from typing import Any
from uuid import UUID

import psycopg
import pytest

from penstock.errors import Conflict
from penstock.event_store import NewEvent, append
from penstock.ingest.files import create_import, import_status, undo_events, undo_import
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop.orders.fold import load_order
from tests.shop.imports.figures import ORDERS, account, load, read_figures, types_of

FIRST = b"o1,A,2,1.50,2025-03-01T10:00:00Z,c1\n"
SECOND = b"o1,B,1,4.00,2025-03-02T11:00:00Z,c1\n"
OTHERS = b"".join(b"x%d,A,1,2.00,2025-03-%02dT10:00:00Z,c%d\n" % (n, 1 + n % 28, n % 4) for n in range(30))


def undo(settings: Settings, import_id: UUID) -> dict[str, Any]:
    done = undo_import(settings, import_id)
    assert done.state == "undone"
    return dict(done.result["undo"])


def test_an_import_of_orders_is_taken_back_and_may_be_loaded_again(
    settings: Settings, connection: psycopg.Connection
) -> None:
    empty = read_figures(settings, connection)
    done = load(settings, ORDERS + FIRST + OTHERS)
    fresh = read_figures(settings, connection)
    assert undo(settings, done.id) == {"removed": 31, "restored": 0, "kept": 0, "events": 31}
    assert read_figures(settings, connection) == empty
    assert load_order(connection, "o1").state.status == "voided"
    again = load(settings, ORDERS + FIRST + OTHERS)
    assert again.id != done.id
    assert (account(again), again.result) == (account(done), done.result)
    once = ["OrderPlaced", "OrderCompleted"]
    assert types_of(connection, "order/o1") == [*once, "OrderVoided", *once]
    assert read_figures(settings, connection) == fresh
    assert load_order(connection, "o1").state.total == "3.000"
    rebuilt = rebuild(settings, "orders")
    assert (rebuilt.deleted, rebuilt.inserted, rebuilt.parked) == (0, 0, 0)


def test_an_import_that_amended_orders_leaves_them_as_they_were(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, ORDERS + FIRST)
    before = read_figures(settings, connection)
    second = load(settings, ORDERS + SECOND + OTHERS)
    both = read_figures(settings, connection)
    assert undo(settings, second.id) == {"removed": 30, "restored": 1, "kept": 0, "events": 31}
    assert read_figures(settings, connection) == before
    load(settings, ORDERS + SECOND + OTHERS)
    assert read_figures(settings, connection) == both


def test_what_others_have_changed_since_is_kept_until_they_are_taken_back(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first = load(settings, ORDERS + FIRST + OTHERS)
    second = load(settings, ORDERS + SECOND)
    append(connection, "order", "x3", "any", [NewEvent("OrderCancelled", {})])
    assert undo(settings, second.id)["restored"] == 1
    third = load(settings, ORDERS + SECOND)
    assert undo(settings, first.id) == {"removed": 29, "restored": 0, "kept": 2, "events": 29}
    advance_all(settings)
    left = connection.execute("select order_id, status from shop.orders order by 1").fetchall()
    assert left == [("o1", "completed"), ("x3", "cancelled")]
    assert undo(settings, third.id) == {"removed": 0, "restored": 1, "kept": 0, "events": 1}
    figures = read_figures(settings, connection)
    assert [(order[0], order[2], order[5]) for order in figures["orders"]] == [
        ("o1", "completed", 3),
        ("x3", "cancelled", 2),
    ]


def test_imports_are_taken_back_in_the_order_in_which_they_came_or_the_other(
    settings: Settings, connection: psycopg.Connection
) -> None:
    empty = read_figures(settings, connection)
    first, second = load(settings, ORDERS + FIRST), load(settings, ORDERS + SECOND)
    assert undo(settings, second.id)["restored"] == 1
    assert undo(settings, first.id)["removed"] == 1
    assert read_figures(settings, connection) == empty


STOCK = b"product_id,delta,adjustment_id\nA,5,m1\nA,-2,m2\nB,7,m3\n"
COUNTED = b"product_id,delta\nA,5\nA,5\nB,7\n"


@pytest.mark.parametrize("content", [STOCK, COUNTED], ids=["by id", "by line"])
def test_movements_of_stock_are_taken_back_and_may_be_loaded_again(
    settings: Settings, connection: psycopg.Connection, content: bytes
) -> None:
    load(settings, b"product_id,delta,adjustment_id\nA,100,m0\n", "inventory")
    before = read_figures(settings, connection)
    for _ in range(3):
        done = load(settings, content, "inventory")
        assert account(done) == (3, 0, 0)
        loaded = read_figures(settings, connection)
        append(connection, "inventory", "A", "any", [NewEvent("InventoryAdjusted", {"delta": -1})])
        assert undo(settings, done.id) == {"removed": 3, "restored": 0, "kept": 0, "events": 3}
        append(connection, "inventory", "A", "any", [NewEvent("InventoryAdjusted", {"delta": 1})])
        assert read_figures(settings, connection) == before
    load(settings, content, "inventory")
    assert read_figures(settings, connection) == loaded
    if content == STOCK:
        assert account(load(settings, content + b"\n", "inventory")) == (0, 3, 0)


REGISTERED = b"customer_id,name,registered_at\nc1,Ann,2025-01-01T00:00:00Z\nc2,Bob,2025-01-02T00:00:00Z\n"
MOVED = b"customer_id,name,registered_at\nc1,Anna,2025-02-01T00:00:00Z\nc3,Cid,2025-02-01T00:00:00Z\n"
LISTED = b"sku,name,price,listed_at\nA,Lamp,2,2025-01-01T00:00:00Z\nB,Mug,3,2025-01-01T00:00:00Z\n"
RELISTED = b"sku,name,price,listed_at\nA,Lamp,4,2025-02-01T00:00:00Z\nC,Cup,3,2025-02-01T00:00:00Z\n"


@pytest.mark.parametrize(
    ("target", "first", "second"),
    [("customers", REGISTERED, MOVED), ("products", LISTED, RELISTED)],
    ids=["customers", "products"],
)
def test_states_are_again_what_they_were_before_the_import(
    settings: Settings, connection: psycopg.Connection, target: str, first: bytes, second: bytes
) -> None:
    empty = read_figures(settings, connection)
    one = load(settings, first, target)
    before = read_figures(settings, connection)
    for _ in range(2):
        two = load(settings, second, target)
        assert account(two) == (2, 0, 0)
        after = read_figures(settings, connection)
        assert undo(settings, two.id) == {"removed": 1, "restored": 1, "kept": 0, "events": 3}
        assert read_figures(settings, connection) == before
    assert account(load(settings, first + b"\n", target)) == (0, 2, 0)
    three = load(settings, second, target)
    assert read_figures(settings, connection) == after
    assert undo(settings, one.id)["kept"] == 1, "one has been said otherwise since"
    undo(settings, three.id)
    assert len(read_figures(settings, connection)[{"customers": target, "products": "catalogue"}[target]]) == 1
    rebuilt = rebuild(settings, target)
    assert (rebuilt.deleted, rebuilt.inserted) == (0, 0)
    assert empty[target] == []


def test_a_listing_that_was_taken_back_gives_no_order_its_names(
    settings: Settings, connection: psycopg.Connection
) -> None:
    load(settings, LISTED, "products")
    undo(settings, load(settings, RELISTED.replace(b"Lamp", b"Light"), "products").id)
    load(settings, ORDERS + FIRST + FIRST.replace(b",A,", b",C,"))
    advance_all(settings)
    named = connection.execute("select product_id, name from shop.order_items order by 1").fetchall()
    assert named == [("A", "Lamp"), ("C", None)]


def event(stream: str, event_type: str, payload: dict[str, Any], **others: Any) -> bytes:
    kind, name = stream.split("/")
    said = {"aggregate_type": kind, "aggregate_id": name, "event_type": event_type, "payload": payload, **others}
    said = {"occurred_at": "2025-03-05T00:00:00Z"} | said
    return json.dumps(said).encode() + b"\n"


PLACED = {"order_id": "o9", "placed_at": "2025-03-05T00:00:00Z", "items": [{"product_id": "A", "quantity": 1}]}
PLACED["items"][0]["unit_price"] = "3"  # type: ignore[index]
LIFE = (
    event("order/o9", "OrderPlaced", PLACED, id="00000000-0000-4000-8000-000000000009")
    + event("order/o9", "PaymentReceived", {"amount": "3"})
    + event("order/o9", "OrderCompleted", {})
    + event("inventory/A", "InventoryAdjusted", {"product_id": "A", "delta": -1}, id="shop-17")
)


def test_events_of_any_kind_are_taken_back_by_what_their_types_declare(
    settings: Settings, connection: psycopg.Connection
) -> None:
    empty = read_figures(settings, connection)
    done = load(settings, LIFE, "events")
    fresh = read_figures(settings, connection)
    assert fresh["months"]
    assert undo(settings, done.id) == {"removed": 2, "restored": 0, "kept": 0, "events": 2}
    assert read_figures(settings, connection) == empty
    assert account(load(settings, LIFE, "events")) == (4, 0, 0)
    assert read_figures(settings, connection) == fresh


@pytest.mark.parametrize(
    ("lasting", "more"),
    [
        ("TicketOpened", event("ticket/1", "TicketOpened", {})),
        ("OrderShipped", event("order/o8", "OrderShipped", {})),
    ],
)
def test_what_nothing_takes_back_is_named_before_anything_is_written(
    settings: Settings, connection: psycopg.Connection, lasting: str, more: bytes
) -> None:
    done = load(settings, LIFE + more, "events")
    number = connection.execute("select count(*) from public.event_store").fetchone()
    with pytest.raises(Conflict, match=f"nothing takes {lasting}"):
        undo_import(settings, done.id)
    assert import_status(settings, done.id).state == "completed"
    assert connection.execute("select count(*) from public.event_store").fetchone() == number


def test_an_undo_that_is_killed_goes_on_and_takes_each_order_back_once(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = read_figures(settings, connection)
    monkeypatch.setattr(undo_events, "STREAMS_A_STEP", 7)
    done = load(settings, ORDERS + OTHERS)
    appending, calls = undo_events.append_bulk, []

    def killed(*arguments: Any) -> Any:
        appended = appending(*arguments)
        calls.append(appended)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return appended

    with monkeypatch.context() as patch:
        patch.setattr(undo_events, "append_bulk", killed)
        with pytest.raises(KeyboardInterrupt):
            undo_import(settings, done.id)
    now = import_status(settings, done.id)
    assert (now.state, now.result["undo"]["removed"]) == ("undoing", 14)
    with pytest.raises(Conflict, match="is being undone"):
        create_import(settings, "orders", ORDERS + OTHERS)
    assert undo_import(settings, done.id, seconds=0).state == "undoing"
    assert undo(settings, done.id) == {"removed": 30, "restored": 0, "kept": 0, "events": 30}
    assert read_figures(settings, connection) == empty
    with pytest.raises(Conflict, match="undone already"):
        undo_import(settings, done.id)


def test_two_undos_at_once_share_the_work(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(undo_events, "STREAMS_A_STEP", 3)
    done = load(settings, ORDERS + OTHERS)
    ended: list[Any] = []

    def take_back() -> None:
        try:
            ended.append(undo_import(settings, done.id).state)
        except Conflict as error:  # the other one was faster
            ended.append(str(error))

    threads = [threading.Thread(target=take_back) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) <= {"undone", "the import has been undone already"}
    assert "undone" in ended
    assert import_status(settings, done.id).result["undo"]["events"] == 30
    voided = connection.execute("select count(*) from public.event_store where event_type = 'OrderVoided'").fetchone()
    assert voided == (30,)
