"""A crash of the server amid an import of the shop's: what was appended counts as loaded, once."""

import psycopg
import pytest

from penstock.ingest.files import advance_import, create_import, run
from penstock.settings import Settings
from tests.integration.ingest.files.test_events import account, crashed_while_appending


@pytest.mark.parametrize(
    ("target", "header", "line"),
    [
        ("orders", "order_id,product_id,quantity,ordered_at,unit_price", "{},P,1,2026-01-01,1.50"),
        ("products", "product_id,name,price", "{},Lamp,2.50"),
        ("inventory", "product_id,delta", "{},5"),
    ],
)
def test_after_a_crash_of_the_server_what_was_appended_counts_as_loaded(
    settings: Settings,
    connection: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    header: str,
    line: str,
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 2)
    known, _ = create_import(settings, target, f"{header}\n{line.format('known')}\n".encode())
    advance_import(settings, known.id)
    before = connection.execute("select count(*) from public.event_store").fetchone() or (0,)
    text = "\n".join([header, *(line.format(name) for name in ("known", "a", "b", "c", "d"))])
    created, _ = create_import(settings, target, text.encode())
    crashed_while_appending(settings, connection, created)
    done = advance_import(settings, created.id)
    repeated = 0 if target == "inventory" else 1  # without an id of its own a movement is one of its file
    assert (done.state, *account(done)) == ("completed", 5 - repeated, 0, repeated)
    stored = connection.execute("select count(*), count(distinct aggregate_id) from public.event_store").fetchone()
    assert stored == (before[0] * (6 - repeated), 5)
