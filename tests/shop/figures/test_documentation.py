"""docs/figures.md: its shop is appended, its queries are run, and every cell of its tables is what they answer."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock import views
from penstock.projections import advance_all
from shop import DOMAIN, figures
from tests.shop.imports.exports import load
from tests.shop.projections.store import put, store
from tests.shop.registry import MATERIALIZED

PAGE = (Path(__file__).parents[3] / "docs" / "figures.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```sql\n(.*?)^```\n\n((?:^\|[^\n]*\n)+)", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psycopg.Connection]:
    with store() as (settings, connection):
        settings = replace(settings, storage_folder=tmp_path_factory.mktemp("uploads"))
        (events,) = re.findall(r"^```jsonl\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        for line in events.splitlines():
            put(connection, **json.loads(line))
        (rates,) = re.findall(r"^```csv\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
        load(settings, "exchange_rates", rates.encode())
        assert all(advanced.caught_up for advanced in advance_all(settings).values())
        assert list(figures.run_due(settings, date(2024, 4, 4)))
        for name in MATERIALIZED:
            views.refresh_view(connection, name)
        yield connection


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def value(shown: Any) -> Any:
    """A number whatever its zeros, anything else as text."""
    try:
        return Decimal(str(shown))
    except InvalidOperation:
        return str(shown)


@pytest.mark.parametrize(("query", "table"), EXAMPLES)
def test_every_cell_is_what_the_query_answers(example: psycopg.Connection, query: str, table: str) -> None:
    cursor = example.execute(query.encode())
    header, _, *lines = table.splitlines()
    assert [column.name for column in cursor.description or ()] == cells(header)
    assert [[value(cell) for cell in cells(line)] for line in lines] == [
        [value(cell) for cell in row] for row in cursor
    ]


def test_every_query_has_its_table() -> None:
    assert len(EXAMPLES) == PAGE.count("```sql") == 11


@pytest.mark.parametrize("view", [view.name for view in DOMAIN.views])
def test_every_figure_is_defined(example: psycopg.Connection, view: str) -> None:
    (page,) = re.findall(rf"^## \w+: `public\.{view}`$(.*?)(?=^## )", PAGE, re.MULTILINE | re.DOTALL)
    columns = example.execute(f"select * from public.{view}".encode()).description or ()
    prose = re.sub(r"^```.*?^```\n\n(?:^\|[^\n]*\n)+", "", page, flags=re.MULTILINE | re.DOTALL)
    of_days = {"currency", "order_count", "gross_sales", "discounts", "shipping", "tax", "refunds", "net_revenue"}
    of_days |= {
        "refunded_shipping",
        "refunded_tax",
        "net_sales",
        "avg_order_value",
        "day",
        "month",
        "hour",
        "product_id",
    }
    missing = {column.name for column in columns if f"`{column.name}`" not in prose}
    assert missing - (of_days if view != "daily_analytics" else {"day", "currency"}) == set()
