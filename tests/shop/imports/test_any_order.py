"""Whatever is loaded, amended and taken back, in any order: the figures are those of a plain model."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from penstock.ingest.files import advance_import, create_import, undo_events, undo_import
from penstock.ingest.files import run as importing
from penstock.projections import rebuild
from penstock.settings import Settings
from tests.shop.imports.figures import ORDERS, account, read_figures
from tests.shop.projections.store import TABLES, store

Shop = tuple[Settings, psycopg.Connection]


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as opened:
        opened[1].execute("alter table public.event_store disable trigger all")
        opened[1].execute("alter table shop.inventory_history disable trigger all")
        yield opened


class Line(NamedTuple):
    order_id: str
    product_id: str
    quantity: int
    price: str
    day: int
    customer_id: str

    def text(self) -> bytes:
        moment = f"2025-03-{self.day:02}T10:00:00Z"
        return f"{self.order_id},{self.product_id},{self.quantity},{self.price},{moment},{self.customer_id}\n".encode()

    @property
    def said(self) -> tuple[str, int, str]:
        return self.product_id, self.quantity, self.price


@dataclass(frozen=True)
class Order:
    lines: tuple[tuple[str, int, str], ...]
    day: int
    customer_id: str

    @property
    def total(self) -> Decimal:
        return sum((quantity * Decimal(price) for _, quantity, price in self.lines), Decimal(0))


def read_order(lines: Sequence[Line]) -> Order:
    customers = [line.customer_id for line in lines if line.customer_id]
    return Order(tuple(line.said for line in lines), min(line.day for line in lines), customers[0] if customers else "")


def merge(stored: Order, file: Order) -> tuple[Order, int]:
    """What holds from now on, and how many of the file's lines were there."""
    had, has = Counter(stored.lines), Counter(file.lines)
    header = replace(file, day=min(stored.day, file.day), customer_id=file.customer_id or stored.customer_id)
    apart = not {product for product, *_ in had} & {product for product, *_ in has}
    if had <= has or not apart:
        return header, (had & has).total()
    return replace(header, lines=stored.lines + file.lines), 0


@dataclass
class Model:
    """Of each order what the imports made of it, one after the other."""

    histories: dict[str, list[tuple[int, Order]]] = field(default_factory=dict)

    def load(self, number: int, lines: Sequence[Line]) -> tuple[int, int, int]:
        duplicate = 0
        for order_id in dict.fromkeys(line.order_id for line in lines):
            file = read_order([line for line in lines if line.order_id == order_id])
            history = self.histories.setdefault(order_id, [])
            if not history:
                history.append((number, file))
                continue
            stored = history[-1][1]
            merged, known = merge(stored, file)
            if sorted(merged.lines) == sorted(stored.lines) and replace(merged, lines=stored.lines) == stored:
                duplicate += len(file.lines)
            else:
                history.append((number, merged))
                duplicate += known
        return len(lines) - duplicate, duplicate, 0

    def undo(self, number: int) -> dict[str, int]:
        counts = {"removed": 0, "restored": 0, "kept": 0}
        for history in self.histories.values():
            if number not in [by for by, _ in history]:
                continue
            if history[-1][0] != number:
                counts["kept"] += 1
                continue
            history.pop()
            counts["restored" if history else "removed"] += 1
        return counts

    def orders(self) -> dict[str, Order]:
        return {order_id: history[-1][1] for order_id, history in self.histories.items() if history}


LINES = st.builds(
    Line,
    st.sampled_from(["o1", "o2", "o3"]),
    st.sampled_from("ABC"),
    st.integers(1, 2),
    st.sampled_from(["1", "2.5"]),
    st.integers(1, 3),
    st.sampled_from(["", "c1", "c2"]),
)
ACTIONS = st.one_of(st.lists(LINES, min_size=1, max_size=4), st.integers(0, 5))


@given(actions=st.lists(ACTIONS, min_size=2, max_size=8), looks=st.sets(st.integers(0, 7)), step=st.integers(1, 3))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_figures_are_those_of_what_holds(
    shop: Shop, actions: list[list[Line] | int], looks: set[int], step: int
) -> None:
    store_settings, connection = shop
    _empty(connection)
    model, imports = Model(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "EVENTS_A_STEP", step)
        patch.setattr(undo_events, "STREAMS_A_STEP", step)
        for number, action in enumerate(actions):
            if isinstance(action, list):
                created, repeated = create_import(store_settings, "orders", ORDERS + b"".join(map(Line.text, action)))
                if not repeated:
                    assert account(advance_import(store_settings, created.id)) == model.load(number, action)
                    imports.append((number, created.id))
            elif imports:
                undone, import_id = imports.pop(action % len(imports))
                result = undo_import(store_settings, import_id).result["undo"]
                assert {name: result[name] for name in ("removed", "restored", "kept")} == model.undo(undone)
            if number in looks:
                _compare(read_figures(store_settings, connection), model.orders())
    live = read_figures(store_settings, connection)
    _compare(live, model.orders())
    rebuilt = rebuild(store_settings, "orders")
    assert (rebuilt.deleted, rebuilt.inserted, rebuilt.parked) == (0, 0, 0)


def _compare(figures: dict[str, list[tuple[Any, ...]]], orders: dict[str, Order]) -> None:
    assert {order_id: (customer or "", total) for order_id, customer, _, _, _, total, *_ in figures["orders"]} == {
        order_id: (order.customer_id, order.total) for order_id, order in orders.items()
    }
    items = sorted((order_id, product, quantity) for order_id, product, _, _, quantity, *_ in figures["items"])
    assert items == sorted((order_id, *line[:2]) for order_id, order in orders.items() for line in order.lines)
    days: dict[int, list[Order]] = {}
    for order in orders.values():
        days.setdefault(order.day, []).append(order)
    firsts = [
        min(order.day for order in orders.values() if order.customer_id == customer)
        for customer in {order.customer_id for order in orders.values()} - {""}
    ]
    assert [day[:4] for day in figures["days"]] == [
        (day[0], len(of_day), sum(order.total for order in of_day), firsts.count(number))
        for day, (number, of_day) in zip(figures["days"], sorted(days.items()), strict=True)
    ]
    revenue = sum((order.total for order in orders.values()), Decimal(0))
    assert sum(hour[3] for hour in figures["hours"]) == revenue == sum(month[2] for month in figures["months"])
    assert sum(product[2] for product in figures["products"]) == revenue


def _empty(connection: psycopg.Connection) -> None:
    tables = [table for tables in TABLES.values() for table in tables]
    others = ["penstock.undone_events", "raw.imports", "public.daily_analytics", "ops.due_days", "ops.dead_letters"]
    store_tables = ["public.event_store", "penstock.streams", "ops.subscriptions"]
    connection.execute(f"truncate {', '.join([*tables, *store_tables, *others])} cascade".encode())
    connection.execute("alter sequence public.event_store_position_seq restart")
