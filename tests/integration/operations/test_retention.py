"""What the daily purge forgets of deliveries, uploads and files, and what it must leave alone."""

import hashlib
import os
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from penstock.errors import Conflict
from penstock.ingest.files import advance_import, create_import, end_upload, import_status, open_upload, receive_upload
from penstock.ingest.files.storage import abandoned
from penstock.operations import retention
from penstock.settings import Settings
from tests.integration.ingest.files.storage_stub import KEY, storage_with_ages

ORDERS = b"ticket_id,part,quantity,opened_at,price\nA,P,1,2026-01-01,1.25\n"
LONG_AGO = time.time() - abandoned.KEPT.total_seconds() - 3600


def put(settings: Settings, key: str, *, old: bool) -> Path:
    path = settings.storage_folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left over")
    if old:
        os.utime(path, (LONG_AGO, LONG_AGO))
    return path


def age(settings: Settings) -> None:
    for path in settings.storage_folder.rglob("*"):
        os.utime(path, (LONG_AGO, LONG_AGO))


def key_of(content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    return f"{sha256[:2]}/{sha256}"


@pytest.mark.parametrize(
    ("status", "days", "goes"),
    [("appended", 91, True), ("appended", 89, False), ("pending", 400, False), ("failed", 400, False)],
)
def test_only_deliveries_whose_events_are_stored_go_and_only_once_they_are_old(
    connection: psycopg.Connection, settings: Settings, status: str, days: int, goes: bool
) -> None:
    connection.execute(
        """insert into raw.webhook_inbox (source, delivery_id, headers, body, received_at, status, processed_at)
           values ('shop', 'd-1', '{}', '{}', now() - interval '2 years', %(status)s,
             case when %(status)s <> 'pending' then now() - make_interval(days => %(days)s) end)""",
        {"status": status, "days": days},
    )
    assert retention.purge(settings).deliveries == int(goes)
    assert connection.execute("select count(*) from raw.webhook_inbox").fetchone() == (int(not goes),)


def test_what_broke_off_goes_once_it_is_old(settings: Settings) -> None:
    names = ["incoming/tmpabc.part", "incoming-xyz", f"incoming/{uuid4()}", key_of(b"of no import")]
    old = [put(settings, name, old=True) for name in names]
    young = [
        put(settings, name, old=False) for name in ("incoming/tmpdef.part", "incoming-uvw", key_of(b"just stored"))
    ]
    foreign = [put(settings, name, old=True) for name in ("notes.txt", "ab/short", "incoming/readme")]
    assert retention.purge(settings).files == len(old)
    assert not any(path.exists() for path in old)
    assert all(path.exists() for path in (*young, *foreign))
    assert retention.purge(settings).files == 0


def test_files_that_an_import_names_stay_however_old(settings: Settings) -> None:
    created, _ = create_import(settings, "tickets", ORDERS)
    age(settings)
    assert retention.purge(settings).files == 0
    assert advance_import(settings, created.id).loaded == 1
    age(settings)
    assert retention.purge(settings).files == 0
    assert (settings.storage_folder / key_of(ORDERS)).exists()


@pytest.mark.parametrize(
    ("state", "days", "goes"),
    [
        ("completed", 366, True), ("failed", 366, True), ("aborted", 366, True), ("undone", 366, True),
        ("completed", 364, False), ("loading", 400, False), ("uploading", 400, False),
    ],
)  # fmt: skip
def test_imports_that_ended_long_ago_go_with_rejects_and_file(
    connection: psycopg.Connection, settings: Settings, state: str, days: int, goes: bool
) -> None:
    created, _ = create_import(settings, "tickets", ORDERS + b"bad\n")
    assert advance_import(settings, created.id).rejected == 1
    young, _ = create_import(settings, "tickets", ORDERS)
    advance_import(settings, young.id)
    connection.execute(
        """update raw.imports set state = %s, finished_at = now() - make_interval(days => %s) where id = %s""",
        (state, days, created.id),
    )
    age(settings)
    purged = retention.purge(settings)
    assert (purged.imports, purged.files) == (int(goes), int(goes))
    assert connection.execute("select count(*) from raw.import_rejects").fetchone() == (int(not goes),)
    assert (settings.storage_folder / key_of(ORDERS + b"bad\n")).exists() is not goes
    assert (settings.storage_folder / key_of(ORDERS)).exists()
    assert connection.execute("select count(*) from public.event_store").fetchone() == (2,)


def test_an_upload_that_arrived_waits_for_its_import_however_long(settings: Settings) -> None:
    opened, _ = open_upload(settings, "tickets", name="orders.csv")
    receive_upload(settings, opened.id, BytesIO(ORDERS))
    age(settings)
    swept = retention.purge(settings)
    assert (swept.uploads, swept.files) == (0, 0)
    assert advance_import(settings, opened.id).loaded == 1


def test_an_upload_that_never_came_fails_and_its_file_goes(connection: psycopg.Connection, settings: Settings) -> None:
    opened, _ = open_upload(settings, "tickets", name="orders.csv")
    assert retention.purge(settings).uploads == 0
    connection.execute("update raw.imports set created_at = now() - interval '3 days'")
    assert retention.purge(settings).uploads == 1
    ended = import_status(settings, opened.id)
    assert (ended.state, ended.error) == ("failed", "abandoned: its file never arrived, or nobody started its import")
    assert ended.finished_at is not None
    with pytest.raises(Conflict):
        receive_upload(settings, opened.id, BytesIO(ORDERS))
    put(settings, f"incoming/{opened.id}", old=True)
    assert retention.purge(settings).files == 1


def test_the_same_content_again_makes_an_old_file_young(settings: Settings) -> None:
    put(settings, key_of(ORDERS), old=True).write_bytes(ORDERS)
    age(settings)
    create_import(settings, "tickets", ORDERS)
    assert (settings.storage_folder / key_of(ORDERS)).stat().st_mtime > LONG_AGO + 60


def test_a_folder_that_does_not_exist_is_nothing_to_sweep(settings: Settings) -> None:
    assert retention.purge(settings).files == 0
    assert not settings.storage_folder.exists()


def test_objects_in_storage_go_by_the_same_rules(
    connection: psycopg.Connection, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.ingest.files.storage.remote.LISTED_AT_ONCE", 2)
    now = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    with storage_with_ages() as (url, objects, written):
        hosted = Settings(
            database_url=settings.database_url, storage_folder=tmp_path, supabase_url=url, supabase_secret_key=KEY
        )
        create_import(hosted, "tickets", ORDERS)
        arrived, _ = open_upload(hosted, "tickets", name="arrived.csv")
        objects[f"imports/incoming/{arrived.id}"] = ORDERS
        end_upload(hosted, arrived.id)
        gone, _ = open_upload(hosted, "tickets", name="gone.csv")
        objects[f"imports/incoming/{gone.id}"] = b"sent, and never started"
        connection.execute("update raw.imports set created_at = now() - interval '3 days' where id = %s", (gone.id,))
        objects |= {f"imports/{key_of(bytes([number]))}": b"of no import" for number in range(5)}
        kept = {f"imports/{key_of(ORDERS)}", f"imports/incoming/{arrived.id}", "imports/notes.txt"}
        objects["imports/notes.txt"] = b"somebody else's"
        young = f"imports/{key_of(b'young')}"
        objects[young], written[young] = b"just stored", now
        purged = retention.purge(hosted)
        assert (purged.uploads, purged.files) == (1, 6)
        assert set(objects) == {*kept, young}
