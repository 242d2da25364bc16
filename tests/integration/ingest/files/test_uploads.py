"""Large files: first uploaded, to Supabase Storage or to the app, then read from where they lie."""

import gzip
import hashlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from penstock.errors import Conflict, NotFound
from penstock.ingest.files import advance_import, create_import, end_upload, open_upload, receive_upload
from penstock.settings import Settings
from tests.integration.ingest.files.storage_stub import KEY, storage

ORDERS = "ticket_id,part,quantity,opened_at,price\n" + "".join(
    f"{n % 1000},P{n % 7},{n % 5},2026-01-01,1.25\n" for n in range(30_000)
)


@pytest.fixture
def hosted(settings: Settings, tmp_path: Path) -> Iterator[tuple[Settings, dict[str, bytes]]]:
    with storage() as (url, objects):
        yield (
            Settings(
                database_url=settings.database_url,
                storage_folder=tmp_path / "unused",
                supabase_url=url,
                supabase_secret_key=KEY,
            ),
            objects,
        )


def test_an_upload_to_the_app_is_imported(settings: Settings) -> None:
    opened, url = open_upload(settings, "tickets", name="orders.csv.gz")
    assert (opened.state, url) == ("uploading", None)
    assert advance_import(settings, opened.id, seconds=5).state == "uploading", "nothing to work on yet"
    with pytest.raises(NotFound):
        end_upload(settings, opened.id)
    content = gzip.compress(ORDERS.encode())
    assert receive_upload(settings, opened.id, BytesIO(content)).state == "waiting"
    with pytest.raises(Conflict):
        receive_upload(settings, opened.id, BytesIO(b"another"))
    done = advance_import(settings, opened.id)
    assert (done.state, done.loaded, done.rejected) == ("completed_with_rejects", 24_000, 6_000)
    assert done.content_sha256 == hashlib.sha256(content).hexdigest()
    assert (done.size_bytes, done.source_bytes) == (len(content), len(content))
    again, _ = open_upload(settings, "tickets", name="orders.csv.gz")
    receive_upload(settings, again.id, BytesIO(content))
    same = advance_import(settings, again.id)
    assert (same.state, same.rows_read, same.result) == ("completed", 0, {"same_as": str(opened.id)})


def test_an_upload_to_storage_is_streamed_from_there(hosted: tuple[Settings, dict[str, bytes]]) -> None:
    settings, objects = hosted
    opened, url = open_upload(settings, "tickets", name="orders.csv")
    assert url is not None
    with pytest.raises(NotFound):
        end_upload(settings, opened.id)
    assert httpx.put(url, content=ORDERS.encode()).status_code == 200
    assert end_upload(settings, opened.id).size_bytes == len(ORDERS)
    while not (done := advance_import(settings, opened.id, seconds=0)).is_final:
        pass
    assert (done.state, done.error, done.loaded, done.rejected) == ("completed_with_rejects", None, 24_000, 6_000)
    sha256 = hashlib.sha256(ORDERS.encode()).hexdigest()
    assert list(objects) == [f"imports/{sha256[:2]}/{sha256}"], "stored once, under its hash"
    assert not settings.storage_folder.exists()


def test_a_small_body_takes_the_same_path(hosted: tuple[Settings, dict[str, bytes]]) -> None:
    settings, objects = hosted
    created, _ = create_import(settings, "tickets", ORDERS.encode())
    assert [len(content) for content in objects.values()] == [len(ORDERS)]
    assert advance_import(settings, created.id).loaded == 24_000
    objects.clear()
    other, _ = create_import(settings, "tickets", (ORDERS + "\n").encode())
    objects.clear()
    failed = advance_import(settings, other.id)
    assert (failed.state, failed.error) == ("failed", "the file is not in Supabase Storage")
