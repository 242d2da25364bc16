"""Which events are parked, and what the rows are, depends on the events alone: not on the plan, not on the cut."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from penstock.postgres.pool import close_pools
from penstock.projections import advance_all, runner
from penstock.settings import Settings
from tests.shop.projections.store import TABLES, letters, place, put, read_models

SWITCHES = ("hashjoin", "mergejoin", "nestloop", "seqscan", "tidscan")
PLANNERS: dict[str, dict[str, str]] = {
    **{f"without {name}": {f"enable_{name}": "off"} for name in SWITCHES},
    "merge joins alone": {"enable_hashjoin": "off", "enable_nestloop": "off"},
    "nested loops alone": {"enable_hashjoin": "off", "enable_mergejoin": "off", "enable_tidscan": "off"},
    "hash joins alone": {"enable_mergejoin": "off", "enable_nestloop": "off", "enable_tidscan": "off"},
    "compiled": {"jit": "on", "jit_above_cost": "0", "jit_inline_above_cost": "0", "jit_optimize_above_cost": "0"},
    "as written": {"join_collapse_limit": "1", "from_collapse_limit": "1", "enable_tidscan": "off"},
    "in parallel": {"parallel_setup_cost": "0", "parallel_tuple_cost": "0", "min_parallel_table_scan_size": "0"},
}
TIMES = ("now", "2010-12-01T08:26:00Z", "2010-02-30")
NUMBERS = ("5", "x", 2.5)
ITEMS: tuple[Any, ...] = ([], {}, [{"product_id": "p1", "quantity": 1}])
STEPS = ("PaymentReceived", "OrderShipped", "OrderDelivered", "OrderCompleted", "OrderCancelled")


def fill(connection: psycopg.Connection) -> None:
    """Every kind of bad value, of orders placed once, twice, late and never; hardly a good one among them."""
    for number, moment in enumerate(TIMES):
        put(connection, "order/never", STEPS[number % 5], {}, occurred_at=moment)
        put(connection, f"order/late{number}", STEPS[number % 5], {}, occurred_at=moment)
        place(connection, f"late{number}")
        place(connection, f"late{number}", placed_at=moment, total="x")
        put(connection, f"order/late{number}", "OrderCompleted", {}, occurred_at=moment)
        place(connection, f"placed{number}", placed_at=moment)
        place(connection, f"bought{number}", placed_at=moment, customer_id=f"c{number % 2}")
        put(connection, f"customer/c{number}", "CustomerRegistered", {"registered_at": moment})
        put(connection, f"product/p{number}", "ProductListed", {"unit_price": "1"}, occurred_at=moment)
        put(connection, f"product/p{number}", "ProductListed", {"unit_price": "2"})
    for number, value in enumerate(NUMBERS):
        place(connection, f"total{number}", total=value)
        place(connection, f"twice{number % 3}", total=value, customer_id=value)
        place(connection, f"line{number}", items=[{"product_id": value, "quantity": value, "unit_price": value}])
        put(connection, "product/p1", "ProductListed", {"unit_price": value})
    for number, items in enumerate(ITEMS):
        place(connection, f"items{number}", items=items, total="1")
        place(connection, f"sum{number % 2}", items=items)


@pytest.fixture
def _closed_pools() -> Iterator[None]:
    yield
    close_pools()


def plan(connection: psycopg.Connection, settings: dict[str, str]) -> None:
    """For all sessions to come: the projections run on connections of their own."""
    name = sql.Identifier(connection.info.dbname)
    connection.execute(sql.SQL("alter database {} reset all").format(name))
    for key, value in settings.items():
        statement = sql.SQL("alter database {} set {} = {}")
        connection.execute(statement.format(name, sql.Identifier(key), sql.Literal(value)))


def folded(settings: Settings, connection: psycopg.Connection) -> tuple[Any, Any]:
    """The rows and dead letters of everything, from the start."""
    tables = ", ".join(table for tables in TABLES.values() for table in tables)
    connection.execute("alter table shop.inventory_history disable trigger all")
    connection.execute(f"truncate {tables}, ops.subscriptions, ops.dead_letters".encode())
    connection.execute("analyze")  # the planner knows that the tables are empty, and looks into them first
    close_pools()
    assert all(advanced.caught_up for advanced in advance_all(settings).values())
    return read_models(connection), letters(connection)


@pytest.mark.usefixtures("_closed_pools")
def test_no_plan_and_no_cut_decides_what_can_be_read(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(connection)
    monkeypatch.setattr(runner, "BATCH_SIZE", 1)
    alone = folded(settings, connection)
    assert len(alone[1]) >= 20
    for number, (name, planner) in enumerate(PLANNERS.items()):
        monkeypatch.setattr(runner, "BATCH_SIZE", (40, 7)[number % 2])
        plan(connection, planner)
        assert folded(settings, connection) == alone, name


@pytest.mark.parametrize("event_type", STEPS)
@pytest.mark.parametrize("planner", ["without tidscan", "nested loops alone", "hash joins alone", "merge joins alone"])
@pytest.mark.usefixtures("_closed_pools")
def test_a_step_of_no_order_is_read_though_no_row_wants_it(
    settings: Settings, connection: psycopg.Connection, event_type: str, planner: str
) -> None:
    plan(connection, PLANNERS[planner])
    connection.execute("analyze")
    position = put(connection, "order/never", event_type, {}, occurred_at="now")
    place(connection, "good")
    advance_all(settings)
    assert letters(connection) == [("orders", str(position), True)]
