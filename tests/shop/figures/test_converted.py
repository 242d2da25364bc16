"""Days in other currencies: the latest rate that is not too old, what has none counted, rates that come late."""

import random
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from penstock.ingest.files import advance_import, create_import, undo_import
from penstock.settings import Settings
from tests.integration.http.conftest import Api
from tests.shop.imports.exports import load

HEADER = "day,from_currency,to_currency,rate\n"
DAY = date(2026, 3, 20)


@pytest.fixture
def days(connection: psycopg.Connection) -> None:
    """Fifteen days from DAY on: 100.00 in euros by one order, and 50.00 in dollars less 80.00 given back by two."""
    connection.execute(
        """insert into public.daily_analytics
             (day, currency, order_count, total_revenue, refunds, new_users, computed_at)
           select %s + n, c.*, 0, now()
           from generate_series(0, 14) as n
           cross join (values ('EUR', 1, 100.00, 0), ('USD', 2, 50.00, 80.00)) as c""",
        (DAY,),
    )


def rates(settings: Settings, *lines: str) -> Any:
    return load(settings, "exchange_rates", (HEADER + "".join(f"{line}\n" for line in lines)).encode())


def in_euros(connection: psycopg.Connection) -> dict[int, tuple[Any, ...]]:
    """By the number of days after DAY: the rate of a dollar and the day that it is from."""
    rows = connection.execute(
        """select day - %s, rate, rate_day - %s from public.daily_revenue_converted
           where currency = 'USD' and converted_to = 'EUR' order by day""",
        (DAY, DAY),
    )
    return {number: (rate if rate is None else Decimal(rate).normalize(), day) for number, rate, day in rows}


def test_a_rate_holds_until_the_next_one_and_for_seven_days_at_most(
    settings: Settings, connection: psycopg.Connection, days: None
) -> None:
    rates(
        settings,
        "2026-03-18,USD,EUR,0.90",
        "2026-03-22,USD,EUR,0.91",
        "2026-03-22,EUR,USD,1.1",
        "2026-03-25,JPY,EUR,0.006",
    )
    first, second, none = (Decimal("0.9"), -2), (Decimal("0.91"), 2), (None, None)
    assert in_euros(connection) == dict(enumerate([first] * 2 + [second] * 8 + [none] * 5))


@pytest.mark.parametrize("role", ["service_role", "analyst"])
def test_those_who_read_figures_read_them_converted(
    settings: Settings, connection: psycopg.Connection, days: None, role: str
) -> None:
    rates(settings, "2026-03-20,USD,EUR,0.90")
    with connection.transaction():
        connection.execute(f"set local role {role}".encode())
        assert len(in_euros(connection)) == 15
        found = connection.execute("select count(*) from public.daily_revenue_total_converted").fetchone()
    assert found == (15,)


def test_without_rates_there_is_nothing_converted(connection: psycopg.Connection, days: None) -> None:
    for view in ("daily_revenue_converted", "daily_revenue_total_converted"):
        assert connection.execute(f"select count(*) from public.{view}".encode()).fetchone() == (0,)


def test_what_has_no_rate_is_counted_and_in_no_sum(
    settings: Settings, connection: psycopg.Connection, days: None
) -> None:
    rates(settings, "2026-03-20,USD,EUR,0.90")
    total = """select converted_revenue, converted_net_revenue, order_count, orders_without_rate,
                 currencies_without_rate, oldest_rate_day
               from public.daily_revenue_total_converted where converted_to = 'EUR' and day = %s"""
    with_rate = connection.execute(total, (DAY + timedelta(days=7),)).fetchone()
    assert with_rate == (Decimal("145"), Decimal("73"), 3, 0, [], DAY)
    day = DAY + timedelta(days=8)
    assert connection.execute(total, (day,)).fetchone() == (Decimal("100"), Decimal("100"), 3, 2, ["USD"], day)
    connection.execute("update public.daily_analytics set order_count = 0, total_revenue = 0 where currency = 'USD'")
    # nothing was sold, and still the 80.00 that were given back are missing in the sum
    assert connection.execute(total, (day,)).fetchone() == (Decimal("100"), Decimal("100"), 1, 0, ["USD"], day)
    connection.execute("update public.daily_analytics set refunds = 0 where currency = 'USD'")
    assert connection.execute(total, (day,)).fetchone() == (Decimal("100"), Decimal("100"), 1, 0, [], day)


def test_totals_are_the_sums_of_what_was_converted(
    settings: Settings, connection: psycopg.Connection, days: None
) -> None:
    luck = random.Random(11)
    pairs = [(a, b) for a in ("USD", "GBP", "EUR") for b in ("EUR", "GBP", "CHF") if a != b]
    lines = {
        (DAY + timedelta(days=luck.randrange(-9, 15)), *luck.choice(pairs)): luck.uniform(0.1, 9) for _ in range(40)
    }
    rates(settings, *(f"{day},{a},{b},{rate:.12f}" for (day, a, b), rate in lines.items()))
    converted: dict[tuple[date, str], Decimal] = {}
    for day, currency, wanted, revenue in connection.execute(
        "select day, currency, converted_to, revenue from public.daily_revenue_converted"
    ):
        ages = [age for age in range(8) if (day - timedelta(days=age), currency, wanted) in lines]
        rate = Decimal(1) if currency == wanted else None
        if ages and rate is None:
            rate = Decimal(f"{lines[day - timedelta(days=ages[0]), currency, wanted]:.12f}")
        converted.setdefault((day, wanted), Decimal(0))
        converted[day, wanted] += round(revenue * rate, 6) if rate is not None else 0
    rows = connection.execute("select day, converted_to, converted_revenue from public.daily_revenue_total_converted")
    assert {(day, wanted): total for day, wanted, total in rows} == converted
    assert len(converted) == 15 * 3


def test_a_rate_that_is_loaded_again_replaces_the_one_before_and_undo_brings_it_back(
    settings: Settings, connection: psycopg.Connection, days: None
) -> None:
    rates(settings, "2026-03-20,USD,EUR,0.90")
    done = rates(settings, "20/03/2026,usd,EUR,0.95", "21/03/2026,USD,EUR,0.96")
    assert (done.loaded, done.updated) == (2, 1)
    assert in_euros(connection)[0] == (Decimal("0.95"), 0)
    undo_import(settings, done.id)
    assert in_euros(connection)[0] == (Decimal("0.9"), 0)
    assert in_euros(connection)[1] == (Decimal("0.9"), 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("2026-03-20,USD,EUR,0", "rate: not more than 0"),
        ("2026-03-20,USD,EUR,-1", "rate: not more than 0"),
        ("2026-03-20,USD,EUR,NaN", "rate: not a number"),
        ("2026-03-20,USD,EUR,0.0000000000001", "rate: more than 12 decimal places"),
        ("2026-03-20,US,EUR,1", "from_currency: not 3 letters"),
        ("2026-03-20,USD,,1", "to_currency: missing"),
        ("2026-03-20 10:00,USD,EUR,1", "day: a time of day, not a day alone"),
        ("2026-02-29,USD,EUR,1", "day: no such time"),
        ("2026-03-20,EUR,EUR,1", "exchange_rates_two_currencies_check"),
    ],
)
def test_what_is_no_rate_is_rejected(
    settings: Settings, connection: psycopg.Connection, line: str, reason: str
) -> None:
    created, _ = create_import(settings, "exchange_rates", f"{HEADER}{line}\n2026-03-19,USD,EUR,1\n".encode())
    done = advance_import(settings, created.id)
    assert (done.loaded, done.rejected) == (1, 1)
    rejected = connection.execute("select concat_ws(': ', field, reason) from raw.import_rejects").fetchone()
    assert reason in str(rejected)


def test_pages_go_by_day_and_currency(settings: Settings, api: Api, days: None) -> None:
    rates(settings, *(f"2026-03-20,{code},{to},2" for code in ("USD", "EUR") for to in ("GBP", "CHF")))
    for view, keys, number in (
        ("daily_revenue_converted", ("day", "currency", "converted_to"), 15 * 2 * 2),
        ("daily_revenue_total_converted", ("day", "converted_to"), 15 * 2),
    ):
        found: list[dict[str, Any]] = []
        after: dict[str, str] = {}
        while True:
            page = api.http.get(f"/v1/views/{view}", params={"limit": 7, **after}).raise_for_status().json()
            found += page["rows"]
            if not page["next"]:
                break
            after = {"after": page["next"]}
        assert len(found) == len({tuple(row[key] for key in keys) for row in found}) == number
        assert [row["day"] for row in found] == sorted((row["day"] for row in found), reverse=True)
    only = api.http.get("/v1/views/daily_revenue_converted", params={"currency": "USD", "limit": 100}).json()["rows"]
    assert {row["currency"] for row in only} == {"USD"}


def test_a_page_of_many_years_with_many_currencies_is_read_by_its_days_alone(
    settings: Settings, connection: psycopg.Connection, api: Api
) -> None:
    """The rates of other days are not looked at: a page stops where it ends."""
    connection.execute(
        """insert into public.daily_analytics (day, currency, new_users, computed_at)
           select date '2010-01-01' + n, c, 0, now()
           from generate_series(0, 5000) as n cross join unnest(array['EUR', 'USD', 'GBP']) as c;
           insert into shop.exchange_rates (day, from_currency, to_currency, rate)
           select date '2010-01-01' + n, f, t, 1
           from generate_series(0, 5000) as n cross join unnest(array['EUR', 'USD', 'GBP', 'CHF', 'JPY']) as f
           cross join unnest(array['EUR', 'USD', 'GBP', 'CHF', 'JPY']) as t where f <> t;
           analyze public.daily_analytics; analyze shop.exchange_rates"""
    )
    query = "select * from public.daily_revenue_converted order by day desc, currency, converted_to limit 101"
    (plan,) = connection.execute(f"explain (analyze, buffers, format json) {query}".encode()).fetchone() or ()
    assert plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"] < 5_000
