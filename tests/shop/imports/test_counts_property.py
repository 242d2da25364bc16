"""What an import says it has loaded is what the store gained, whatever is in its file and wherever it was cut off.

Orders come in random files: lines at fault, lines that are not a sale, repeats, mended lines alone, some of them, or
the whole order again. After each file the counts of every import add up, together they say what is in the store, and
each order there is complete.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from penstock.ingest.files import advance_import, create_import, import_status, run
from penstock.settings import Settings

Fault = Literal["none", "quantity", "time", "field lost", "quote"]
Way = Literal["nothing", "whole", "mended", "some", "faulty"]
Line = tuple[str, int, str]
"""Product, quantity, price."""

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"
COUNTS = ("loaded", "skipped", "rejected", "held", "duplicate")
OTHERS = ("A{},P1,x,1,2010-12-01,1.10,7,UK", "{},P1,x,-1,soon,1.10,7,UK", "{},P1,x,1,2010-12-01,0.0,7,UK")
PRODUCTS = {"P1": "1.10", "P2": "2.25", "P3": "0.125"}


@dataclass
class Order:
    """An order as it is, and which of its lines have been read well."""

    id: str
    lines: Sequence[Line]
    read: Counter[Line] = field(default_factory=Counter)

    @property
    def missing(self) -> list[Line]:
        return list((Counter(self.lines) - self.read).elements())


faults: st.SearchStrategy[Fault] = st.sampled_from(["none", "none", "none", "quantity", "time", "field lost", "quote"])
ways: st.SearchStrategy[Way] = st.sampled_from(["nothing", "whole", "mended", "some", "faulty"])
lines = st.tuples(st.sampled_from(sorted(PRODUCTS)), st.integers(1, 2)).map(lambda it: (*it, PRODUCTS[it[0]]))
orders = st.lists(st.lists(lines, min_size=1, max_size=4), min_size=1, max_size=4)
crashes = st.sets(st.integers(0, 12), max_size=2)


def written(order: str, line: Line, fault: Fault = "none") -> str:
    product, quantity, price = line
    amount = "two" if fault == "quantity" else quantity
    if fault == "field lost":
        return f"{order},{product},x,{amount},2010-12-01,{price},7"
    text = '"x"y' if fault == "quote" else "x"
    return f"{order},{product},{text},{amount},{'soon' if fault == 'time' else '2010-12-01'},{price},7,UK"


def with_faults(order: Order, drawn: Sequence[Fault]) -> list[str]:
    """The whole order. A line whose order cannot be read has no equal in it: else none could say which came again."""
    found, good = [], []
    for line, fault in zip(order.lines, drawn, strict=True):
        here = "time" if fault == "quote" and order.lines.count(line) > 1 else fault
        good += [line] if here == "none" else []
        found.append(written(order.id, line, here))
    order.read |= Counter(good)
    return found


def sent(order: Order, way: Way, draw: Any) -> list[str]:
    missing = order.missing
    if way == "nothing":
        return []
    if way == "faulty" and missing:
        return with_faults(order, draw(st.lists(faults, min_size=len(order.lines), max_size=len(order.lines))))
    if way in ("mended", "some") and missing:
        # of an order of which nothing was read well nothing is held: part of it would pass for all
        number = draw(st.integers(1, len(missing))) if way == "some" and order.read else len(missing)
        order.read += Counter(missing[:number])
        return [written(order.id, line) for line in missing[:number]]
    order.read = Counter(order.lines)
    return [written(order.id, line) for line in order.lines]


def load(settings: Settings, connection: psycopg.Connection, content: str, cut_off: set[int]) -> UUID:
    """Import step by step; after some steps the server crashes, which empties unlogged tables."""
    created, _ = create_import(settings, "orders", content.encode())
    step = 0
    while not (now := advance_import(settings, created.id, seconds=0)).is_final:
        if step in cut_off:
            tables = connection.execute(
                "select oid::regclass::text from pg_class where relpersistence = 'u' and relkind = 'r'"
            ).fetchall()
            for (name,) in tables:
                connection.execute(f"truncate {name}")
        step += 1
    assert (now.state, now.error, now.pending) == (now.loaded_state, None, 0)
    return created.id


def check(
    settings: Settings, connection: psycopg.Connection, imports: Sequence[UUID], all_orders: Sequence[Order]
) -> None:
    known = [import_status(settings, each) for each in imports]
    for each in known:
        assert each.rows_read == sum(getattr(each, name) for name in COUNTS), each
    stored = connection.execute(
        """select aggregate_id, payload -> 'items', (payload ->> 'total')::numeric from public.event_store
           where event_type = 'OrderPlaced' and aggregate_id = any(%s)""",
        ([order.id for order in all_orders],),
    ).fetchall()
    assert sum(each.loaded for each in known) == sum(len(items) for _, items, _ in stored)
    held = connection.execute(
        "select count(*) from raw.held_lines where outcome is null and import_id = any(%s)", (list(imports),)
    ).fetchone()
    assert held == (sum(each.held for each in known),)
    by_id = {order.id: order for order in all_orders}
    for order_id, items, total in stored:
        found = Counter((item["product_id"], item["quantity"], Decimal(item["unit_price"])) for item in items)
        truth = Counter((product, quantity, Decimal(price)) for product, quantity, price in by_id[order_id].lines)
        assert found == truth, order_id
        assert total == sum(quantity * Decimal(price) for _, quantity, price in by_id[order_id].lines)


@examples(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given=orders, data=st.data())
def test_the_counts_are_what_the_store_gained(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, given: Any, data: Any
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 2)
    draw, name = data.draw, uuid4().hex[:8]
    all_orders = [Order(f"{name}-{number}", found) for number, found in enumerate(given)]
    imports = []
    first = [
        with_faults(order, draw(st.lists(faults, min_size=len(order.lines), max_size=len(order.lines))))
        for order in all_orders
    ]
    files = [first, *([sent(order, draw(ways), draw) for order in all_orders] for _ in range(draw(st.integers(0, 3))))]
    for number, parts in enumerate(files):
        others = [other.format(f"{name}-0") for other in draw(st.lists(st.sampled_from(OTHERS), max_size=2))]
        content = "\n".join([HEADER, *others, *(line for part in parts for line in part)])
        imports.append(load(settings, connection, content + "\n" * (number + 1), draw(crashes)))
        check(settings, connection, imports, all_orders)
