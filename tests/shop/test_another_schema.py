"""A shop whose `public` has tables of the names of ours: Penstock installs into another schema and works there."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from penstock import errors, views
from penstock.event_store import NewEvent, append, read_events
from penstock.event_store.bulk import append_bulk
from penstock.ingest.files import advance_import, create_import
from penstock.postgres import migrations, pool, public_schema
from penstock.postgres.collisions import created_by
from penstock.postgres.migrations import REPOSITORY
from penstock.postgres.pool import Connection
from penstock.projections import advance_all, rebuild
from penstock.settings import Settings
from shop import DOMAIN, figures
from tests import throwaway
from tests.integration.http.conftest import as_local, running
from tests.shop.online_retail import SAMPLE, answers, order_streams
from tests.shop.registry import MATERIALIZED

SCHEMA = "order"  # a word of SQL, so that nothing passes that forgets its quotes
OF_SOMEBODY_ELSE = """
create table public.event_store (id bigint primary key, what text);
insert into public.event_store values (1, 'theirs');
create view public.monthly_revenue as select 'theirs' as month;
create table public.daily_analytics (day text); create table public.revenue_by_hour (hour text);
create table public.current_events (id bigint); create table public.orders (id bigint);
create function public.append_event(
  text, text, integer, uuid, text, jsonb, jsonb, integer
) returns text language sql as $$ select 'theirs' $$;
"""
THEIRS = """
select c.relname, c.relkind::text, c.xmin::text, c.relfilenode::text from pg_class as c
where c.relnamespace = 'public'::regnamespace
union all
select p.proname, p.prosrc, p.xmin::text, '' from pg_proc as p where p.pronamespace = 'public'::regnamespace
order by 1
"""


@pytest.fixture
def database_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("PENSTOCK_PUBLIC_SCHEMA", SCHEMA)
    with throwaway.fresh_database() as url, psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OF_SOMEBODY_ELSE)
        before = connection.execute(THEIRS).fetchall()
        throwaway.migrate(url, throwaway.EVERYTHING)
        yield url
        assert connection.execute(THEIRS).fetchall() == before
        assert connection.execute("select * from public.event_store").fetchall() == [(1, "theirs")]


@pytest.fixture
def inside(settings: Settings) -> Iterator[Connection]:
    with pool.connect(settings.database_url) as connection:
        yield connection


def test_all_figures_of_the_sample_are_right_there(settings: Settings, inside: Connection) -> None:
    created, _ = create_import(settings, "orders", SAMPLE)
    while not (done := advance_import(settings, created.id, seconds=0)).is_final:
        pass
    assert (done.state, done.rows_read) == ("completed", 42_481)
    assert all(advanced.caught_up for advanced in advance_all(settings).values())
    for name in MATERIALIZED:
        views.refresh_view(inside, name)
    assert figures.run_range(settings, date(2010, 12, 1), date(2010, 12, 31)) == {"days": 31}
    (expected,) = answers("monthly_revenue")
    (row,) = views.read_view(inside, "monthly_revenue").rows
    assert {key: str(row[key]) for key in expected} == expected
    days = {str(day["day"]): str(day["total_revenue"]) for day in views.read_view(inside, "daily_analytics").rows}
    assert {day["date"]: day["revenue"] for day in answers("daily_stats")}.items() <= days.items()
    assert views.read_view(inside, "revenue_by_hour").rows
    again = rebuild(settings, "orders")
    assert (again.deleted, again.inserted, again.parked) == (0, 0, 0)


def test_the_app_appends_commands_reads_and_refreshes_there(settings: Settings, tmp_path: Path) -> None:
    with running(as_local(settings, tmp_path), DOMAIN) as api:
        event = {"id": str(uuid4()), "event_type": "OrderCancelled", "payload": {}}
        body = {"expected_version": "any", "events": [event]}
        assert api.http.post("/v1/streams/order/o-1/events", json=body).status_code == 201
        items = [{"product_id": "MUG", "quantity": 2, "unit_price": "7.50"}]
        order = {"order_id": "o-2", "items": items, "currency": "EUR"}
        assert api.http.post("/v1/orders", json=order).status_code == 201
        assert [event["event_type"] for event in api.http.get("/v1/events").json()["events"]] == [
            "OrderCancelled",
            "OrderPlaced",
        ]
        api.project()
        for view in DOMAIN.views:
            assert api.http.get(f"/v1/views/{view.name}").status_code == 200
        for name in MATERIALIZED:
            assert api.http.post(f"/v1/views/{name}/refresh").status_code == 200
        assert api.http.get("/ready").json() == {"status": "ready", "missing": []}


def test_bulk_single_and_pooled_appends_go_there(settings: Settings, inside: Connection) -> None:
    append_bulk(inside, list(order_streams())[:3])
    append(inside, "order", "one", "no_stream", [NewEvent("OrderPlaced", {"total": "1"})])
    append(inside, "order", "two", "no_stream", [NewEvent("OrderPlaced", {}), NewEvent("OrderCancelled", {})])
    with inside.transaction():
        append(inside, "order", "three", "no_stream", [NewEvent("OrderPlaced", {})])
    assert len(read_events(inside)) == 3 * 2 + 4
    assert inside.execute('select count(*) from "order".event_store').fetchone() == (10,)


def test_migrating_again_changes_nothing_and_the_wrong_setting_is_told(
    inside: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert migrations.migrate(inside, folder=REPOSITORY) == []
    assert migrations.migration_fault(inside) is None
    monkeypatch.delenv("PENSTOCK_PUBLIC_SCHEMA")
    told = "Penstock is in the schema order of this database, but PENSTOCK_PUBLIC_SCHEMA says public: set it to order"
    assert migrations.migration_fault(inside) == told
    with pytest.raises(errors.Conflict) as refused:
        migrations.migrate(inside, folder=REPOSITORY)
    assert str(refused.value) == told


def test_a_schema_shop_of_somebody_else_is_said_with_the_rest() -> None:
    with throwaway.fresh_database() as url, pool.connect(url) as connection:
        connection.execute("create schema shop; create table shop.customers (id bigint)")
        with pytest.raises(
            errors.Conflict, match=r"the schema shop has shop\.customers, and Penstock needs it for itself"
        ):
            migrations.migrate(connection, folder=REPOSITORY)


def test_the_copied_files_say_it_and_are_known_again(inside: Connection, tmp_path: Path) -> None:
    written = migrations.write_migrations(tmp_path)
    assert written
    texts = [path.read_text() for path in tmp_path.iterdir()]
    assert not any("public." in text or "schema public" in text for text in texts)
    assert migrations.write_migrations(tmp_path) == []
    assert migrations.migrate(inside, folder=tmp_path) == []


def test_names_of_the_domain_in_public_are_declared() -> None:
    """What is not declared would stay in `public`, where no view of the other schema is refreshed."""
    texts = [path.read_text() for path in sorted(REPOSITORY.glob("*_shop_*.sql"))]
    created = {each.name for text in texts for each in created_by(text) if each.schema == "public"}
    assert len(created) > 5
    assert created <= public_schema._of_domains
