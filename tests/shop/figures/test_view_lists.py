"""Which figures there are is written in `shop.figures.views`; SQL and the Edge Function must name the same."""

import re
from pathlib import Path

import psycopg
import pytest

from penstock.views import View
from shop import DOMAIN
from shop.figures.views import VIEWS
from tests.shop.registry import MATERIALIZED

ROOT = Path(__file__).parents[3]


def test_the_domain_offers_these_views() -> None:
    assert tuple(DOMAIN.views) == VIEWS


def test_the_edge_function_refreshes_every_materialized_view() -> None:
    text = (ROOT / "supabase/functions/refresh-views/refresh.ts").read_text()
    (listed,) = re.findall(r"export const VIEWS = \[([^]]*)\]", text)
    assert re.findall(r'"([^"]+)"', listed) == list(MATERIALIZED)


def test_the_database_may_refresh_every_materialized_view(connection: psycopg.Connection) -> None:
    registered = connection.execute("select view from ops.views order by 1").fetchall()
    assert [name for (name,) in registered] == sorted(MATERIALIZED)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_each_view_is_of_its_kind_and_its_keys_are_unique(connection: psycopg.Connection, view: View) -> None:
    """Pages go by the keys: a column that is missing, of another type or not unique would cut them wrongly."""
    kinds = {"materialized": "m", "table": "r", "view": "v"}
    found = connection.execute(
        "select relkind::text from pg_catalog.pg_class where oid = to_regclass(%s)", (f"public.{view.name}",)
    ).fetchone()
    assert found == (kinds[view.kind],)
    for key in view.keys:
        column = connection.execute(
            "select (a.atttypid = %s::regtype) from pg_catalog.pg_attribute as a"
            " where a.attrelid = to_regclass(%s) and a.attname = %s",
            (key.type, f"public.{view.name}", key.column),
        ).fetchone()
        assert column == (True,), f"{view.name}.{key.column} is not of type {key.type}"
    if view.kind == "view":  # it has no index: it is read from a table that is unique by day and currency
        return
    unique = connection.execute(
        "select array_agg(a.attname::text) from pg_catalog.pg_index as i"
        " join pg_catalog.pg_attribute as a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)"
        " where i.indrelid = to_regclass(%s) and i.indisunique group by i.indexrelid",
        (f"public.{view.name}",),
    ).fetchall()
    assert any(set(columns) <= {key.column for key in view.keys} for (columns,) in unique)
