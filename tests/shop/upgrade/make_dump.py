"""Write `tests/data/releases/<version>.sql.gz`: a small database of this release, as a later one will find it.

Run at a release, once its migrations are final: `.venv/bin/python -m tests.shop.upgrade.make_dump`. Everything in it
came in as it does in a shop: by imports, appends, projections, the daily ETL and refreshes.
"""

import gzip
import re
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Final

from penstock import __version__, views
from penstock.domain import install
from penstock.event_store import NewEvent, append
from penstock.ingest.files import advance_import, create_import
from penstock.local.postgres import installation
from penstock.local.testing import PREFIX
from penstock.postgres.migrations import REPOSITORY, migrate
from penstock.postgres.pool import Connection, close_pools, connect
from penstock.projections import advance_all
from penstock.settings import Settings
from shop import DOMAIN, figures
from shop.inventory.fold import load_inventory
from tests import throwaway
from tests.shop.online_retail import PROJECT, SAMPLE
from tests.shop.registry import MATERIALIZED

RELEASES: Final = PROJECT / "tests" / "data" / "releases"
LINES: Final = 400
MOST_BYTES: Final = 300_000
PRODUCTS: Final = b"product_id,name,category,price\n85123A,White hanging heart,Decoration,2.55\nMUG,Mug,Kitchen,7.50\n"
CUSTOMERS: Final = (
    b"customer_id,name,country,registered_at\n"
    b"17850,A. Customer,United Kingdom,2010-12-01\nC-7,B. Customer,France,2010-12-02\n"
)
# What a dump of Postgres 18 says that older ones do not know, and a secret that is another one each time.
_LEFT_OUT: Final = re.compile(r"^(SET transaction_timeout = .*|\\(un)?restrict .*|-- Dumped .*)\n", re.MULTILINE)


def settings_of(url: str, folder: Path) -> Settings:
    """As `penstock up` has them; files wait in the folder."""
    local = {"PENSTOCK_ENV": "local", "PENSTOCK_CURRENCY": "GBP"}
    return Settings.from_env({**local, "DATABASE_URL": url, "PENSTOCK_STORAGE_FOLDER": str(folder)})


def fill(settings: Settings, connection: Connection) -> None:
    """A few days of December 2010, orders at every stage, stock with a snapshot, an event that cannot be read."""
    load(settings, "orders", sample(LINES))
    load(settings, "products", PRODUCTS)
    load(settings, "customers", CUSTOMERS)
    line = {"product_id": "MUG", "quantity": 2, "unit_price": "7.50"}
    placed = {"placed_at": "2010-12-03T10:00:00Z", "customer_id": "C-7", "currency": "GBP", "items": [line]}
    for number, steps in enumerate(([], ["OrderPaid"], ["OrderPaid", "OrderShipped"], ["OrderCancelled"])):
        events = [NewEvent("OrderPlaced", placed), *(NewEvent(step, {}) for step in steps)]
        append(connection, "order", f"life-{number}", "no_stream", events)
    append(connection, "order", "unreadable", "no_stream", [NewEvent("OrderPlaced", {"items": "none"})])
    moves = [NewEvent("InventoryAdjusted", {"product_id": "MUG", "delta": 1, "reason": "count"}) for _ in range(250)]
    append(connection, "inventory", "MUG", "no_stream", moves)
    load_inventory(connection, "MUG")
    compute(settings, connection)


def sample(lines: int, *, after: int = 0) -> bytes:
    """So many lines of the sample, with its header."""
    with gzip.open(SAMPLE) as file:
        header, *rows = (file.readline() for _ in range(1 + after + lines))
    return header + b"".join(rows[after:])


def load(settings: Settings, target: str, content: bytes) -> int:
    """Import all of a file; how many lines were loaded."""
    created, _ = create_import(settings, target, content)
    while not (done := advance_import(settings, created.id)).is_final:
        pass
    if done.state not in ("completed", "completed_with_rejects"):
        raise RuntimeError(f"{target}: {done.state}, {done.error}")
    return done.loaded


def compute(settings: Settings, connection: Connection) -> None:
    """Bring read models, views and days up to date."""
    advance_all(settings)
    for name in MATERIALIZED:
        views.refresh_view(connection, name)
    figures.run_range(settings, date(2010, 12, 1), date(2010, 12, 5))


def dump(url: str) -> bytes:
    """The whole database as SQL for psql, compressed; the same bytes for the same content."""
    command = [str(installation() / "bin" / "pg_dump"), "--no-owner", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return gzip.compress(_LEFT_OUT.sub("", done.stdout).encode(), mtime=0)


def main() -> None:
    install(DOMAIN)
    throwaway.open_session()
    try:
        with throwaway.fresh_database() as url, tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
            settings = settings_of(url, Path(folder))
            with connect(url) as connection:
                migrate(connection, folder=REPOSITORY)
                fill(settings, connection)
            close_pools()
            content = dump(url)
    finally:
        throwaway.close_session()
    if len(content) > MOST_BYTES:
        sys.exit(f"{len(content):,} bytes: too many to keep with the code, at most {MOST_BYTES:,}")
    file = RELEASES / f"{__version__}.sql.gz"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    print(f"wrote {file.relative_to(PROJECT)}, {len(content):,} bytes")


if __name__ == "__main__":
    main()
