"""Another schema than `public`: which words of a statement move, and that nothing is done where none is set."""

import pytest
from psycopg import sql

from penstock.errors import SettingsError
from penstock.postgres import public_schema
from penstock.postgres.public_schema import MovedCursor, cursor_options, move, move_back, move_package, place_of
from penstock.settings import Settings


@pytest.fixture(autouse=True)
def a_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(public_schema, "_of_domains", {"monthly_revenue"})
    monkeypatch.setenv("PENSTOCK_PUBLIC_SCHEMA", "sales")


@pytest.mark.parametrize(
    ("text", "moved"),
    [
        ("select * from public.event_store as e", 'select * from "sales".event_store as e'),
        ("select public.append_event($1::text)", 'select "sales".append_event($1::text)'),
        ("from public.monthly_revenue, public.orders", 'from "sales".monthly_revenue, public.orders'),
        ("to_regclass('public.event_store')", "to_regclass('\"sales\".event_store')"),
        ("from public.event_store_of_mine, public.my_event_store", None),
        ("from republic.event_store, a.public.event_store", None),
        ('from "public".event_store', None),
        ("grant usage on schema public to analyst", None),
        ("the public, event_store", None),
    ],
)
def test_names_of_ours_move_and_no_others(text: str, moved: str | None) -> None:
    assert move(text, "sales") == (moved or text)
    assert move(text, "public") == text
    assert move_back(move(text, "sales"), "sales") == text


def test_in_a_file_of_the_package_all_of_public_is_ours() -> None:
    text = "create schema if not exists public;\ngrant usage on schema public, penstock to analyst;\n"
    text += "execute format('refresh materialized view concurrently public.%I', view);\n"
    text += "revoke all on t from public, anon;\n"
    moved = move_package(text, "sales")
    assert moved.count('"sales"') == 3
    assert "from public, anon" in moved
    assert move_back(moved, "sales") == text
    assert move_package(text, "public") == text


def test_a_schema_of_the_name_of_a_column_is_refused_since_there_would_be_no_way_back() -> None:
    with pytest.raises(SettingsError, match="PENSTOCK_PUBLIC_SCHEMA cannot be 'position'"):
        move_package('select e."position" from public.event_store as e', "position")


def test_values_and_identifiers_of_a_statement_stay() -> None:
    text = sql.SQL("insert into public.event_store values ({}) from {}")
    query = text.format(sql.Literal("see public.event_store"), sql.Identifier("public", "event_store"))
    moved = public_schema._moved(query).as_string()
    assert moved == (
        """insert into "sales".event_store values ('see public.event_store') from "public"."event_store\""""
    )
    assert public_schema._moved(b"select from public.event_store") == b'select from "sales".event_store'


def test_a_table_is_where_its_name_says() -> None:
    assert place_of("event_store") == place_of("public.event_store") == ("sales", "event_store")
    assert place_of("public.orders") == place_of("orders") == ("public", "orders")
    assert place_of("shop.event_store") == ("shop", "event_store")


def test_without_the_setting_connections_have_the_drivers_own_cursors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cursor_options() == {"cursor_factory": MovedCursor}
    for unset in ("", "public"):
        monkeypatch.setenv("PENSTOCK_PUBLIC_SCHEMA", unset)
        assert cursor_options() == {}
        assert place_of("event_store") == ("public", "event_store")


@pytest.mark.parametrize("name", ["Sales", "a-b", "1st", "x.y", 'x"', "pg_catalog", "ops", "auth", "x" * 64])
def test_a_name_that_cannot_be_one_is_said_at_the_start(name: str) -> None:
    env = {"DATABASE_URL": "postgresql://x/y", "PENSTOCK_ENV": "local", "PENSTOCK_PUBLIC_SCHEMA": name}
    with pytest.raises(SettingsError, match="PENSTOCK_PUBLIC_SCHEMA is"):
        Settings.from_env(env)
    Settings.from_env({**env, "PENSTOCK_PUBLIC_SCHEMA": "order"})
