"""What the figures must be, computed in Python from the rows of the read models, and the comparison with them."""

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

Row = dict[str, Any]
Figures = dict[tuple[date, str], Row]

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
