"""Files that are too large for a request: first a place to put the file, then the import.

open_upload      an import in the state `uploading`, and the URL to PUT the file to
send_upload      PUT it there, streamed: for callers other than a browser or curl
receive_upload   what the app calls when the file comes to itself (no Supabase Storage)
end_upload       the file is there: the import waits for its first step
"""

from collections.abc import Mapping
from typing import Any, BinaryIO
from uuid import UUID, uuid4

from penstock.errors import Conflict
from penstock.ingest.files import ledger
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.options import REJECT_SHARE, Options, check_reject_bounds
from penstock.ingest.files.planning import check_names
from penstock.ingest.files.storage import stored_files
from penstock.ingest.files.storage.stored_files import StoredFile
from penstock.ingest.files.target import find_target
from penstock.postgres import pool
from penstock.settings import Settings


def open_upload(
    settings: Settings,
    target: str,
    *,
    name: str,
    options: Mapping[str, Any] | None = None,
    reject_limit: int | None = None,
    reject_share: float = REJECT_SHARE,
    actor: str = "import",
) -> tuple[Import, str | None]:
    """Open an import whose file is still to come. The URL is None when the app receives the file itself."""
    checked = Options.read(options)
    check_names(find_target(target), checked)
    check_reject_bounds(reject_limit, reject_share)
    nothing_yet = StoredFile(f"upload {uuid4()}", 0)
    with pool.transaction(settings) as connection:
        imported, _ = ledger.open_import(
            connection, settings, target, name[:500], nothing_yet, checked, reject_limit, reject_share, actor
        )
        ledger.update_import(connection, imported.id, state="uploading")
        return ledger.read_import(connection, imported.id), stored_files.sign_incoming(settings, imported.id)


def send_upload(url: str, source: BinaryIO, size: int) -> None:
    """Send a file of so many bytes to the URL of `open_upload`; raises `InvalidInput` if Storage refuses it."""
    # imported late, as in `files`: who sends nothing needs no HTTP client
    from penstock.ingest.files.storage.remote import send

    send(url, source, size)


def receive_upload(settings: Settings, import_id: UUID, source: BinaryIO) -> Import:
    """Store the file of an upload, then end the upload. Of two at once the first to be complete counts."""
    with pool.connection(settings) as connection:
        _check_open(ledger.read_import(connection, import_id))
    with stored_files.arriving(settings, source) as (arrived, stored), pool.transaction(settings) as connection:
        _check_open(ledger.read_import(connection, import_id, lock=True))
        stored_files.place_incoming(settings, import_id, arrived)
        ledger.update_import(connection, import_id, state="waiting", size_bytes=stored.size)
        return ledger.read_import(connection, import_id)


def end_upload(settings: Settings, import_id: UUID) -> Import:
    """Let the import begin; again is fine. Raises `NotFound` while no file has arrived."""
    with pool.transaction(settings) as connection:
        imported = ledger.read_import(connection, import_id, lock=True)
        if imported.state != "uploading":
            return imported
        size = stored_files.incoming_size(settings, import_id)
        ledger.update_import(connection, import_id, state="waiting", size_bytes=size)
        return ledger.read_import(connection, import_id)


def _check_open(imported: Import) -> None:
    if imported.state != "uploading":
        raise Conflict(f"the import is {imported.state}: its file has arrived already")
