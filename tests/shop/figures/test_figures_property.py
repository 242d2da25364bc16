"""Whatever happens in a shop, in whatever order it is projected and computed: the figures are those of the read models.

What is expected is computed here, in Python, from the rows of the read models. Runs of the daily ETL are cut in two, so
that things happen inside of them; facts are of any age; the zone may change.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, event, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from penstock import views
from penstock.projections import advance, advance_all, rebuild
from penstock.settings import Settings
from shop import figures
from tests.shop.projections.store import TABLES, put, store
from tests.shop.registry import MATERIALIZED

Shop = tuple[Settings, psycopg.Connection]
Row = dict[str, Any]
Figures = dict[tuple[date, str], Row]

# clocks change in New York on the 10th, in Paris on the 31st of March
FIRST_MOMENT = datetime(2024, 3, 6, tzinfo=UTC)
TODAY = date(2024, 4, 8)
ZONES = ("UTC", "America/New_York", "Europe/Paris", "Asia/Kolkata", "Pacific/Auckland")
CURRENCIES = ("EUR", "JPY", None)
CATEGORIES = {
    "p1": "Food",
    "p2": "Gifts",
    "p3": None,
}  # a product's category is taken when a day is computed: none changes
SUMS = (
    "gross_sales",
    "discounts",
    "shipping",
    "tax",
    "refunds",
    "refunded_shipping",
    "refunded_tax",
    "net_revenue",
    "net_sales",
)
ZEROS = {"order_count": 0, "placed_count": 0, "total_revenue": 0, "first_time_buyers": 0, **dict.fromkeys(SUMS, 0)}

MOMENTS = st.integers(0, 30 * 24 * 2).map(
    lambda half: f"{FIRST_MOMENT + timedelta(minutes=30 * half):%Y-%m-%dT%H:%M:%SZ}"
)
ORDERS = st.sampled_from([f"o{number}" for number in range(5)])
CUSTOMERS = st.sampled_from([None, "c1", "c2", "c3"])
PARTS = st.sampled_from(["0", "0.5", "1.25"])


@st.composite
def lines(draw: st.DrawFn) -> list[dict[str, Any]]:
    products = draw(st.lists(st.sampled_from(list(CATEGORIES)), min_size=1, max_size=3))
    return [
        {
            "product_id": product,
            "category": CATEGORIES[product],
            "quantity": draw(st.integers(0, 3)),
            "unit_price": draw(st.sampled_from(["0", "2.50", "9"])),
            "discount": draw(PARTS),
            "tax": draw(PARTS),
        }
        for product in products
    ]


PLACED = st.fixed_dictionaries(
    {"customer_id": CUSTOMERS, "currency": st.sampled_from(CURRENCIES), "placed_at": MOMENTS, "items": lines()},
    optional={"discount": st.just("4"), "shipping": PARTS, "tax": st.just("6"), "tax_included": st.booleans()},
)
REFUND_LINES = st.lists(
    st.fixed_dictionaries(
        {"product_id": st.sampled_from(list(CATEGORIES)), "quantity": st.integers(0, 2), "amount": PARTS}
    ),
    max_size=2,
)
REFUNDED = st.fixed_dictionaries(
    {
        "refund_id": st.sampled_from(["r1", "r2"]),
        "refunded_at": MOMENTS,
        "currency": st.sampled_from(CURRENCIES),
        "amount": st.sampled_from(["3", "7.75"]),
        "items": REFUND_LINES,
    },
    optional={"tax": PARTS, "shipping": PARTS},
)
ISSUED = st.fixed_dictionaries(
    {"issued_at": MOMENTS, "currency": st.sampled_from(CURRENCIES), "total": st.just("5"), "customer_id": CUSTOMERS}
)
REGISTERED = st.fixed_dictionaries({"registered_at": MOMENTS})
NOTHING: st.SearchStrategy[dict[str, Any]] = st.just({})


def happening(
    stream: st.SearchStrategy[str], event_type: str, payload: st.SearchStrategy[Any]
) -> st.SearchStrategy[Any]:
    return st.tuples(st.just("put"), stream, st.just(event_type), payload)


ORDER = ORDERS.map("order/{}".format)
NOTE = st.sampled_from(["credit_note/n1", "credit_note/n2"])
CUSTOMER = st.sampled_from(["customer/c1", "customer/c2", "customer/c4"])
EVENTS = st.one_of(
    *[happening(ORDER, "OrderPlaced", PLACED)] * 4,
    *[happening(ORDER, "OrderCompleted", NOTHING)] * 3,
    *[happening(ORDER, "OrderRefunded", REFUNDED)] * 2,
    happening(ORDER, "OrderAmended", PLACED),
    happening(ORDER, "OrderCancelled", NOTHING),
    happening(ORDER, "OrderVoided", NOTHING),
    happening(ORDER, "PaymentReceived", NOTHING),
    happening(NOTE, "CreditNoteIssued", ISSUED),
    happening(NOTE, "CreditNoteVoided", NOTHING),
    happening(CUSTOMER, "CustomerRegistered", REGISTERED),
    happening(CUSTOMER, "CustomerRemoved", NOTHING),
)
READ_MODELS = ("orders", "refunds", "customers")
ACTIONS = st.one_of(
    st.tuples(st.just("advance"), st.sampled_from(READ_MODELS)),
    st.tuples(st.just("rebuild"), st.sampled_from(READ_MODELS)),
    st.tuples(st.just("compute")),
    st.tuples(st.just("begin")),
    st.tuples(st.just("end")),
    st.tuples(st.just("zone"), st.sampled_from(ZONES)),
)
HISTORIES = st.lists(st.one_of(EVENTS, EVENTS, EVENTS, ACTIONS), min_size=40, max_size=90)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with store() as (settings, connection):
        # each example begins with an empty store, which only here is a thing that may happen
        connection.execute("alter table public.event_store disable trigger all")
        yield Settings(database_url=settings.database_url, environment="local", etl_overlap_days=0), connection


@given(zone=st.sampled_from(ZONES), history=HISTORIES)
@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_figures_are_those_of_the_read_models_after_any_history(shop: Shop, zone: str, history: list[Any]) -> None:
    settings, connection = shop
    empty(connection, zone)
    begun: list[str] = []
    for what, *arguments in history:
        if what == "put":
            put(connection, *arguments)
        elif what == "zone":
            connection.execute("update penstock.configuration set timezone = %s", arguments)
        else:
            act(settings, what, arguments, begun)
    for batch_id in begun:
        finish(settings, batch_id)
    assert all(advanced.caught_up for advanced in advance_all(settings).values())
    compute(settings)
    for name in MATERIALIZED:
        views.refresh_view(connection, name)
    assert connection.execute("select count(*) from ops.dead_letters").fetchone() == (0,)
    assert connection.execute("select count(*) from ops.due_days").fetchone() == (0,)
    expected = expect_days(connection)
    event(f"{len({currency for _, currency in expected})} currencies, refunds: {bool(counted_refunds(connection))}")
    compare_days(connection, expected)
    compare_months(connection)
    compare_products(connection)
    compare_cohorts(connection)
    kept = read_days(connection)
    connection.execute("truncate public.daily_analytics")
    figures.run_range(settings, FIRST_MOMENT.date() - timedelta(days=2), TODAY - timedelta(days=1))
    assert kept.items() <= read_days(connection).items()


def empty(connection: psycopg.Connection, zone: str) -> None:
    tables = [table for tables in TABLES.values() for table in tables]
    others = (
        "public.event_store",
        "penstock.streams",
        "ops.subscriptions",
        "ops.dead_letters",
        "public.daily_analytics",
    )
    connection.execute("alter table shop.inventory_history disable trigger all")
    connection.execute(f"truncate {', '.join([*tables, *others])}".encode())
    connection.execute("alter sequence public.event_store_position_seq restart")
    connection.execute("update penstock.configuration set timezone = %s", (zone,))
    connection.execute("truncate ops.due_days, staging.daily_batches cascade")


def act(settings: Settings, what: str, arguments: list[str], begun: list[str]) -> None:
    match what:
        case "advance":
            advance(settings, *arguments)
        case "rebuild":
            rebuild(settings, *arguments)
        case "compute":
            compute(settings)
        case "begin":
            begun.append(figures.extract(settings, figures.find_due(settings, TODAY)[0])["batch_id"])
        case "end" if begun:
            finish(settings, begun.pop())


def compute(settings: Settings) -> None:
    for _ in figures.run_due(settings, TODAY):
        pass


def finish(settings: Settings, batch_id: str) -> None:
    figures.transform(settings, batch_id)
    figures.load(settings, batch_id)


def table(connection: psycopg.Connection, name: str) -> list[Row]:
    cursor = connection.execute(f"select * from {name}".encode())
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def business_day(connection: psycopg.Connection) -> Any:
    (name,) = connection.execute("select penstock.business_timezone()").fetchone() or ("",)
    return lambda moment: moment.astimezone(ZoneInfo(name)).date()


def completed_orders(connection: psycopg.Connection) -> dict[str, Row]:
    return {order["order_id"]: order for order in table(connection, "shop.orders") if order["status"] == "completed"}


def counted_refunds(connection: psycopg.Connection) -> list[Row]:
    completed = completed_orders(connection)
    refunds = table(connection, "shop.refunds")
    return [refund for refund in refunds if refund["order_id"] is None or refund["order_id"] in completed]


def expect_days(connection: psycopg.Connection) -> Figures:
    """What is not zero, by day and currency; `new_users` is of the day."""
    day_of = business_day(connection)
    found: Figures = defaultdict(lambda: dict(ZEROS))
    for order in table(connection, "shop.orders"):
        day = found[day_of(order["placed_at"]), order["currency"]]
        day["placed_count"] += 1
        if order["status"] == "completed":
            day["order_count"] += 1
            parts = {"total_revenue": "total", "gross_sales": "gross_sales", "discounts": "discount"}
            for figure, column in {**parts, "shipping": "shipping", "tax": "tax"}.items():
                day[figure] += order[column]
    for refund in counted_refunds(connection):
        day = found[day_of(refund["refunded_at"]), refund["currency"]]
        for figure, column in {"refunds": "amount", "refunded_shipping": "shipping", "refunded_tax": "tax"}.items():
            day[figure] += refund[column]
    for order in first_orders(list(completed_orders(connection).values())).values():
        found[day_of(order["placed_at"]), order["currency"]]["first_time_buyers"] += 1
    for day in found.values():
        day["net_revenue"] = day["total_revenue"] - day["refunds"]
        goods_back = day["refunds"] - day["refunded_shipping"] - day["refunded_tax"]
        day["net_sales"] = day["total_revenue"] - day["shipping"] - day["tax"] - goods_back
    return found


def first_orders(orders: list[Row]) -> dict[str, Row]:
    by_time = sorted(orders, key=lambda order: (order["placed_at"], order["order_id"]), reverse=True)
    return {order["customer_id"]: order for order in by_time if order["customer_id"]}


def expect_new_users(connection: psycopg.Connection) -> dict[date, int]:
    day_of = business_day(connection)
    came = {customer: order["placed_at"] for customer, order in first_orders(table(connection, "shop.orders")).items()}
    for customer in table(connection, "shop.customers"):
        if customer["registered_at"]:
            came[customer["customer_id"]] = customer["registered_at"]
    number: dict[date, int] = defaultdict(int)
    for moment in came.values():
        number[day_of(moment)] += 1
    return number


def expect_categories(connection: psycopg.Connection) -> dict[tuple[date, str], dict[str, tuple[int, Decimal]]]:
    day_of = business_day(connection)
    completed = completed_orders(connection)
    found: dict[Any, dict[str, tuple[int, Decimal]]] = defaultdict(dict)
    for item in table(connection, "shop.order_items"):
        if order := completed.get(item["order_id"]):
            day = found[day_of(order["placed_at"]), order["currency"]]
            units, revenue = day.get(category := item["category"] or "uncategorized", (0, Decimal(0)))
            day[category] = (units + item["quantity"], revenue + item["amount"] - item["discount"])
    return found


def read_days(connection: psycopg.Connection) -> Figures:
    rows = table(connection, "public.daily_analytics")
    return {(row["day"], row["currency"]): {**row, "computed_at": None} for row in rows}


def compare_days(connection: psycopg.Connection, expected: Figures) -> None:
    found, new_users = read_days(connection), expect_new_users(connection)
    currencies = {row["currency"] for name in ("shop.orders", "shop.refunds") for row in table(connection, name)}
    days = {day for day, _ in found}
    assert set(found) == {(day, currency) for day in days for currency in currencies or {"XXX"}}
    assert {day for day, _ in expected} | set(new_users) <= days
    categories = expect_categories(connection)
    for key, row in found.items():
        assert {name: row[name] for name in ZEROS} == expected.get(key, ZEROS), key
        assert row["new_users"] == new_users.get(key[0], 0), key
        for rate, base in (("conversion_rate", "new_users"), ("completion_rate", "placed_count")):
            assert row[rate] == (round(Decimal(row["order_count"]) / row[base], 6) if row[base] else 0), key
        sold = categories.get(key, {})
        best = sorted(sold, key=lambda name: (-sold[name][0], name))[:5]
        assert [(top["category"], top["units"]) for top in row["top_categories"]] == [
            (name, sold[name][0]) for name in best
        ]
        best = sorted(sold, key=lambda name: (-sold[name][1], name))[:5]
        shown = [(top["category"], Decimal(top["revenue"])) for top in row["top_categories_by_revenue"]]
        assert shown == [(name, sold[name][1]) for name in best]


def compare_months(connection: psycopg.Connection) -> None:
    """Days add up to months."""
    summed: Figures = defaultdict(lambda: defaultdict(Decimal))
    for (day, currency), row in read_days(connection).items():
        for figure in (*SUMS, "order_count", "total_revenue"):
            summed[day.replace(day=1), currency][figure] += row[figure]
    months = {(row["month"], row["currency"]): row for row in table(connection, "public.monthly_revenue")}
    for key in summed | months:
        month = months.get(key, defaultdict(int))
        assert {figure: month[figure] for figure in SUMS} == {figure: summed[key][figure] for figure in SUMS}, key
        assert (month["order_count"], month["revenue"]) == (summed[key]["order_count"], summed[key]["total_revenue"])
    buyers: dict[Any, set[str]] = defaultdict(set)
    day_of = business_day(connection)
    for order in completed_orders(connection).values():
        buyers[day_of(order["placed_at"]).replace(day=1), order["currency"]] |= {order["customer_id"]} - {None}
    assert {key: row["unique_customers"] for key, row in months.items()} == {key: len(buyers[key]) for key in months}


def compare_products(connection: psycopg.Connection) -> None:
    """Products add up to what days say of gross sales, and to the lines."""
    completed = completed_orders(connection)
    counted = {(r["aggregate_type"], r["aggregate_id"], r["refund_id"]): r for r in counted_refunds(connection)}
    expected: dict[Any, dict[str, Any]] = defaultdict(lambda: defaultdict(Decimal))
    for item in table(connection, "shop.order_items"):
        if order := completed.get(item["order_id"]):
            product = expected[item["product_id"], order["currency"]]
            for figure, column in {"units_sold": "quantity", "gross_sales": "amount", "discounts": "discount"}.items():
                product[figure] += item[column]
    for item in table(connection, "shop.refund_items"):
        if refund := counted.get((item["aggregate_type"], item["aggregate_id"], item["refund_id"])):
            product = expected[item["product_id"], refund["currency"]]
            product["units_refunded"] += item["quantity"]
            product["refunds"] += item["amount"]
    gross: dict[str, Decimal] = defaultdict(Decimal)
    rows = table(connection, "public.product_performance")
    assert {(row["product_id"], row["currency"]) for row in rows} == set(expected)
    for row in rows:
        product = expected[row["product_id"], row["currency"]]
        names = ("units_sold", "units_refunded", "gross_sales", "discounts", "refunds")
        assert {name: row[name] for name in names} == {name: product[name] for name in names}
        assert row["revenue"] == row["gross_sales"] - row["discounts"]
        assert row["net_revenue"] == row["revenue"] - row["refunds"]
        gross[row["currency"]] += row["gross_sales"]
    by_day: dict[str, Decimal] = defaultdict(Decimal)
    for (_, currency), row in read_days(connection).items():
        by_day[currency] += row["gross_sales"]
    assert all(gross[currency] == by_day[currency] for currency in gross.keys() | by_day.keys())


def compare_cohorts(connection: psycopg.Connection) -> None:
    day_of = business_day(connection)
    orders = completed_orders(connection)
    firsts = {
        customer: day_of(order["placed_at"]).replace(day=1)
        for customer, order in first_orders(list(orders.values())).items()
    }
    expected: dict[Any, list[Any]] = defaultdict(lambda: [set(), Decimal(0), Decimal(0)])

    def row_of(customer: str, moment: datetime, currency: str) -> list[Any]:
        month, cohort = day_of(moment).replace(day=1), firsts[customer]
        return expected[cohort, 12 * (month.year - cohort.year) + month.month - cohort.month, currency]

    for order in orders.values():
        if order["customer_id"]:
            row = row_of(order["customer_id"], order["placed_at"], order["currency"])
            row[0].add(order["customer_id"])
            row[1] += order["total"]
            row[2] += order["total"]
    for refund in counted_refunds(connection):
        customer = orders[refund["order_id"]]["customer_id"] if refund["order_id"] else refund["customer_id"]
        if customer in firsts:
            row_of(customer, refund["refunded_at"], refund["currency"])[2] -= refund["amount"]
    found = {
        (row["cohort_month"], row["months_since"], row["currency"]): [
            row["customers"],
            row["revenue"],
            row["net_revenue"],
        ]
        for row in table(connection, "public.user_cohorts")
    }
    assert found == {key: [len(buyers), *sums] for key, (buyers, *sums) in expected.items()}
