"""Workbooks, Parquet files and zip archives go in like CSV: by API, command line and upload, in steps, and back."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from penstock.cli import main
from penstock.ingest.files import Import, advance_import, create_import, dry_run, rejects_csv, undo_import
from penstock.ingest.files.load import batches
from penstock.settings import Settings
from tests.integration.http.conftest import Api, api
from tests.integration.ingest.files.storage_stub import KEY, storage
from tests.tables import csv_file, parquet_file, xlsx_file, zip_file

__all__ = ["api"]

HEADER = ["order_id", "product_id", "quantity", "unit_price", "ordered_at", "name"]
BODY: list[list[Any]] = [
    [f"F-{n // 3}", f"P{n}", n % 5 + 1, (n + 1) / 4, datetime(2026, 1, 1 + n % 28, 9, n % 60), f"Mug, no. {n}\nblue"]  # noqa: DTZ001
    for n in range(90)
]
MAKERS: dict[str, Callable[[Any], bytes]] = {
    "csv": csv_file,
    "xlsx": xlsx_file,
    "parquet": parquet_file,
    "zip": lambda rows: zip_file({"orders.csv": csv_file(rows)}),
}


def load(settings: Settings, target: str, content: bytes, **options: Any) -> Import:
    created, _ = create_import(settings, target, content, options=options)
    return advance_import(settings, created.id)


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "zip"])
def test_a_table_that_is_known_from_its_csv_is_known_in_every_format(settings: Settings, kind: str) -> None:
    rows = [HEADER, *([*row[:4], datetime(2026, 1, 1 + place // 3 % 28), row[5]] for place, row in enumerate(BODY))]  # noqa: DTZ001
    first = load(settings, "orders", csv_file(rows))
    assert (first.state, first.loaded, first.error) == ("completed", 90, None)
    again = load(settings, "orders", MAKERS[kind](rows))
    assert (again.state, again.duplicate, again.rejected, again.error) == ("completed", 90, 0, None)
    assert again.as_json()["plan"]["container"] == kind


@pytest.mark.parametrize("kind", ["xlsx", "parquet", "zip"])
def test_an_import_goes_on_where_it_stopped_and_is_taken_back(
    settings: Settings, shelves: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 400)
    rows: list[list[Any]] = [["id", "height"], *([f"s{n}", -1 if n % 100 == 50 else n % 900 + 1] for n in range(500))]
    content = MAKERS[kind](rows)
    created, _ = create_import(settings, "shelves", content)
    seen = [created]
    while not seen[-1].is_final:
        seen.append(advance_import(settings, created.id, seconds=0))
    done = seen[-1]
    assert (done.state, done.loaded, done.rejected) == ("completed", 495, 5)
    assert (done.content_sha256, done.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert len(seen) > 4
    places = [each.as_json()["bytes_read"] for each in seen]
    assert places == sorted(places)
    assert all(place <= len(content) for place in places)
    listed = "".join(rejects_csv(settings, done.id)).splitlines()[1:]
    assert [line.split(",")[0] for line in listed] == ['"52"', '"152"', '"252"', '"352"', '"452"']
    assert '"s50,-1"' in listed[0]
    assert shelves.execute("select count(*), sum(height) from public.shelves").fetchone() == (
        495,
        sum(row[1] for row in rows[1:] if row[1] > 0),
    )
    assert undo_import(settings, done.id).result["undo"] == {"removed": 495, "restored": 0, "kept": 0}


def test_a_workbook_comes_by_request_form_and_upload(api: Api, shelves: psycopg.Connection) -> None:
    book = xlsx_file([["note"], ["read me"]], Shelves=[["id", "height"], ["a", 1], ["b", 2.5]])
    refused = api.http.post("/v1/imports/shelves?dry_run=true", content=book)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "sheet")
    assert "say which one, 'Sheet', 'Shelves'" in refused.json()["detail"]
    found = api.http.post("/v1/imports/shelves?dry_run=true&sheet=Shelves", content=book).json()
    assert (found["rows"], found["rejects"][0]["line"]) == ([{"id": "a", "height": 1}], 3)
    assert (found["plan"]["container"], found["plan"]["sheet"]) == ("xlsx", "Shelves")
    form = {"files": {"file": ("s.xlsx", book)}, "data": {"sheet": "2"}}
    assert api.http.post("/v1/imports/shelves?dry_run=true", **form).json()["rows"] == found["rows"]
    opened = api.http.post("/v1/imports/shelves/uploads?name=s.xlsx&sheet=Shelves").json()
    assert api.http.put(opened["upload_url"], content=book).status_code == 202
    done = advance_import(api.settings, UUID(opened["import_id"]))
    assert (done.state, done.loaded, done.rejected) == ("completed_with_rejects", 1, 1)


def test_a_sheet_that_was_not_chosen_fails_the_import_with_the_names(
    settings: Settings, shelves: psycopg.Connection
) -> None:
    done = load(settings, "shelves", xlsx_file([["id", "height"], ["a", 1]], Other=[["x"]]))
    assert done.state == "failed"
    assert "several sheets: say which one, 'Sheet', 'Other'" in str(done.error)


def test_the_command_line_reads_a_sheet_from_storage(
    database_url: str,
    shelves: psycopg.Connection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Storage gives ranges; an archive's directory is at its end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", KEY)
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY", "PENSTOCK_ENV"):
        monkeypatch.delenv(name, raising=False)
    table = [["id", "height"], *([f"s{n}", n + 1] for n in range(200))]
    (tmp_path / "s.xlsx").write_bytes(xlsx_file([["x"]], Shelves=table))
    (tmp_path / "s.parquet").write_bytes(parquet_file(table))
    (tmp_path / "s.zip").write_bytes(zip_file({"s.xlsx": xlsx_file(table)}))
    with storage() as (url, objects):
        monkeypatch.setenv("SUPABASE_URL", url)
        assert main(["import", "s.xlsx", "--target", "shelves", "--sheet", "Shelves", "--dry-run"]) == 0
        assert "read as csv, utf-8, xlsx, sheet 'Shelves', delimiter ','" in capsys.readouterr().out
        assert main(["import", "s.xlsx", "--target", "shelves", "--sheet", "Shelves"]) == 0
        assert capsys.readouterr().out.startswith("completed: 200 lines read, 200 loaded")
        for name in ("s.parquet", "s.zip"):
            assert main(["import", name, "--target", "shelves"]) == 0
            assert capsys.readouterr().out.startswith(
                "completed: 200 lines read, 0 loaded, 0 skipped, 0 rejected, 0 held, 200 known"
            )
        assert len(objects) == 3


def test_dates_of_a_sheet_need_no_format(settings: Settings) -> None:
    found = dry_run(settings, "orders", xlsx_file([HEADER, *BODY[:3]]))
    assert found["plan"]["dates"] == {}
    assert [str(row["ordered_at"])[:16] for row in found["rows"]] == [
        "2026-01-01 09:00", "2026-01-02 09:01", "2026-01-03 09:02",
    ]  # fmt: skip
