"""Real data: December 2010 gives the independent answers, to the last decimal."""

import csv
import gzip
from decimal import Decimal
from pathlib import Path

import psycopg

from penstock.ingest.files import advance_import, create_import, rejects_csv
from penstock.settings import Settings

ROOT = Path(__file__).parents[3]
SAMPLE = ROOT / "shop" / "data" / "online_retail_2010-12.csv.gz"


def test_december_2010(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> None:
    settings = Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path)
    with gzip.open(SAMPLE, "rt", encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    given_back = [row for row in lines if row["InvoiceNo"].startswith("C")]
    unwanted = sum(row["InvoiceNo"].startswith("A") or Decimal(row["UnitPrice"]) <= 0 for row in lines)
    created, _ = create_import(settings, "orders", SAMPLE)
    steps = 0
    while not (done := advance_import(settings, created.id, seconds=0)).is_final:
        assert done.rows_read == done.loaded + done.skipped + done.rejected + done.held + done.duplicate + done.pending
        steps += 1
    assert (done.state, done.rows_read, done.loaded, done.skipped) == (
        "completed",
        42_481,
        41_480 + len(given_back),
        unwanted,
    )
    notes = {row["InvoiceNo"] for row in given_back}
    assert done.result == {"facts": 1_559 + len(notes), "events": 3_118 + len(notes)}
    placed = "select payload from public.event_store where event_type = 'OrderPlaced'"
    figures = connection.execute(
        f"""select count(*), sum((payload ->> 'total')::numeric), count(distinct payload ->> 'customer_id')
            from ({placed}) as orders"""
    ).fetchone()
    assert figures == (1_559, Decimal("823746.140"), 885)
    days = dict(
        connection.execute(
            f"""select left(payload ->> 'placed_at', 10), sum((payload ->> 'total')::numeric)
                from ({placed}) as orders group by 1"""
        ).fetchall()
    )
    with (ROOT / "tests" / "data" / "answers" / "dev_or_2010_12_daily_stats.csv").open() as file:
        expected = {row["date"]: Decimal(row["revenue"]) for row in csv.DictReader(file)}
    assert days == expected
    reasons = list(csv.DictReader("".join(rejects_csv(settings, created.id)).splitlines()))
    assert len(reasons) == unwanted
    assert all(row["line"] and row["reason"] and row["content"] for row in reasons)
    assert {row["outcome"] for row in reasons} == {"skipped"}
