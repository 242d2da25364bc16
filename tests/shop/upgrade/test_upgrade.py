"""A database of each release, with data, is upgraded by the present migrations, and goes on as if they had made it.

The dumps are in `tests/data/releases`; `tests/shop/upgrade/make_dump.py` writes the one of the present version.
"""

import gzip
import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock import __version__, errors, views
from penstock.event_store import NewEvent, append, read_events
from penstock.local.postgres import installation
from penstock.postgres import migrations, pool
from penstock.postgres.migrations import REPOSITORY
from penstock.postgres.pool import Connection
from penstock.projections import advance_all, projections, rebuild
from penstock.settings import Settings
from shop import DOMAIN
from shop.inventory.fold import load_inventory
from tests import throwaway
from tests.shop.upgrade.make_dump import LINES, MOST_BYTES, RELEASES, compute, load, sample, settings_of

DUMPS = sorted(RELEASES.glob("*.sql.gz"))
LEDGER = "select name, version, statements[1] from supabase_migrations.schema_migrations order by version"

Figures = dict[str, list[dict[str, Any]]]


@pytest.fixture(params=DUMPS, ids=lambda path: path.name.removesuffix(".sql.gz"))
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database as that release left it."""
    throwaway.template_database(throwaway.EVERYTHING)  # a dump has no roles: they are the server's
    script = tmp_path / "dump.sql"
    script.write_bytes(gzip.decompress(request.param.read_bytes()))
    with throwaway.fresh_database() as url:
        restore = [installation() / "bin" / "psql", "-qX", "--set=ON_ERROR_STOP=1", f"--file={script}", url]
        done = subprocess.run(restore, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        yield url


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Iterator[Settings]:
    yield settings_of(database_url, tmp_path / "uploads")
    pool.close_pools()


@pytest.fixture
def released(settings: Settings) -> Iterator[Connection]:
    with pool.connect(settings.database_url) as connection:
        yield connection


@pytest.fixture
def before(released: Connection) -> Figures:
    """All figures and read models, before the upgrade."""
    return figures_of(released)


@pytest.fixture
def upgraded(before: Figures, released: Connection) -> Connection:
    migrations.migrate(released, folder=REPOSITORY)
    assert migrations.migration_fault(released) is None
    return released


def figures_of(connection: Connection) -> Figures:
    tables = [table for projection in DOMAIN.projections for table in projection.tables]
    return {
        **{view.name: views.read_view(connection, view.name, max_count=1000).rows for view in DOMAIN.views},
        **{table: rows_of(connection, table) for table in tables},
    }


def rows_of(connection: Connection, table: str) -> list[dict[str, Any]]:
    found = connection.execute(f"select to_jsonb(t) from {table} as t order by t::text".encode()).fetchall()
    return [row for (row,) in found]


def as_then(now: Figures, then: Figures) -> Figures:
    """The columns that there were: a release may add some."""
    return {
        name: [{key: row[key] for key in then[name][0]} for row in rows] if then[name] else rows
        for name, rows in now.items()
        if name in then
    }


def test_there_is_a_dump_of_this_version_and_each_is_small() -> None:
    assert f"{__version__}.sql.gz" in {path.name for path in DUMPS}
    assert all(path.stat().st_size <= MOST_BYTES for path in DUMPS)


def test_no_migration_that_was_released_has_changed(released: Connection) -> None:
    """Line ends and comments included: what a database was given is what the file says, forever."""
    files = {path.name: path.read_text(encoding="utf-8") for path in REPOSITORY.glob("*.sql")}
    ledger = released.execute(LEDGER).fetchall()
    assert len(ledger) > 20
    changed = [f"{version}_{name}.sql" for name, version, text in ledger if files.get(f"{version}_{name}.sql") != text]
    assert changed == [], "released migrations are never edited: add one (before a release: make the dump anew)"


def test_every_figure_is_kept(before: Figures, upgraded: Connection) -> None:
    assert {name for name, rows in before.items() if rows} >= {
        "monthly_revenue",
        "daily_analytics",
        "shop.orders",
        "shop.order_items",
        "shop.inventory_current",
    }
    after = as_then(figures_of(upgraded), before)
    for name, rows in before.items():
        assert after[name] == rows, name


def test_every_projection_rebuilds_to_what_it_has(upgraded: Connection, settings: Settings) -> None:
    for name in projections():
        rebuilt = rebuild(settings, name)
        assert (name, rebuilt.deleted, rebuilt.inserted) == (name, 0, 0)
    letters = "select count(*) from ops.dead_letters where source = 'orders' and resolved_at is null"
    assert upgraded.execute(letters).fetchone() == (1,)


def test_days_and_views_computed_again_are_the_same(before: Figures, upgraded: Connection, settings: Settings) -> None:
    compute(settings, upgraded)
    after = as_then(figures_of(upgraded), before)
    for view in DOMAIN.views:
        assert [without_time(row) for row in after[view.name]] == [without_time(row) for row in before[view.name]]


def without_time(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != "computed_at"}


def test_appends_go_on_where_they_were(upgraded: Connection, settings: Settings) -> None:
    (last,) = upgraded.execute("select max(position) from public.event_store").fetchone() or (None,)
    moved = NewEvent("InventoryAdjusted", {"product_id": "MUG", "delta": 5, "reason": "late"})
    appended = append(upgraded, "inventory", "MUG", 250, [moved])
    assert (appended.version, appended.position > last) == (251, True)
    with pytest.raises(errors.Conflict):
        append(upgraded, "order", "life-0", "no_stream", [NewEvent("OrderPaid", {})])
    assert load_inventory(upgraded, "MUG").state.on_hand == 255
    advance_all(settings)
    stock = upgraded.execute("select on_hand from shop.inventory_current where product_id = 'MUG'").fetchone()
    assert stock == (255,)
    with pytest.raises(psycopg.Error, match="append-only"):
        upgraded.execute("update public.event_store set payload = '{}'")


def test_the_same_file_is_known_and_the_next_one_loads(upgraded: Connection, settings: Settings) -> None:
    month = "select revenue from public.monthly_revenue"
    (then,) = upgraded.execute(month).fetchone() or (None,)
    stored = len(read_events(upgraded, max_count=5000))
    assert load(settings, "orders", sample(LINES) + b"\n") == 0  # the same lines in another file
    assert len(read_events(upgraded, max_count=5000)) == stored
    assert load(settings, "orders", sample(LINES, after=LINES)) > 300
    assert len(read_events(upgraded, max_count=5000)) > stored
    compute(settings, upgraded)
    (now,) = upgraded.execute(month).fetchone() or (None,)
    assert now > then > Decimal(1000)


def test_a_migration_that_a_later_release_adds_is_applied_alone(upgraded: Connection, tmp_path: Path) -> None:
    added = "29990101000000_penstock_added"
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / f"{added}.sql").write_text("create table penstock.added (n integer);\n")
    assert migrations.migrate(upgraded, folder=folder) == [added]


def test_an_edited_migration_is_refused(released: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = migrations.package_migrations()
    folder = tmp_path / "edited"
    migrations.write_migrations(folder)
    edited = folder / files[3].file
    edited.write_text(edited.read_text() + "select 1;\n")
    monkeypatch.setattr(migrations, "REPOSITORY", folder)
    with pytest.raises(errors.Conflict, match=f"^{edited.name} differs from what this database was given"):
        migrations.migrate(released)
    monkeypatch.undo()
    assert migrations.migration_fault(released) is None
