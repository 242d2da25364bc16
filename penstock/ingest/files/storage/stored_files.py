"""Files as they came, each stored once under the hash of its content.

In a folder (`Settings.storage_folder`) on one machine, in Supabase Storage where that is configured outside it: there
a request's disk is gone with the request. Nothing here looks into a file. Files too large for a request arrive under
`incoming/<import id>`, and get their place when their hash is known.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from uuid import UUID

from penstock.errors import InvalidInput, NotFound
from penstock.settings import Settings

if TYPE_CHECKING:
    from penstock.ingest.files.storage.remote import RemoteStore

BLOCK = 1 << 20
_INCOMING = "incoming"


@dataclass(frozen=True)
class StoredFile:
    sha256: str
    size: int


def is_remote(settings: Settings) -> bool:
    return bool(settings.supabase_url and settings.supabase_secret_key) and not settings.is_local


def store_file(settings: Settings, source: Path | bytes | BinaryIO) -> StoredFile:
    """Copy a file into the store, durably; the same content again costs the reading only."""
    if isinstance(source, bytes):
        return _store(settings, BytesIO(source))
    if isinstance(source, Path):
        try:
            with source.open("rb") as file:
                return _store(settings, file)
        except OSError as error:
            raise InvalidInput(f"cannot be read: {error.strerror}", field=str(source)) from error
    return _store(settings, source)


@contextmanager
def open_file(settings: Settings, sha256: str) -> Iterator[BinaryIO]:
    """The file for reading in order from any offset; raises `NotFound` if it is no longer there."""
    with _opened(settings, _key(sha256)) as file:
        yield file


@contextmanager
def arriving(settings: Settings, source: BinaryIO) -> Iterator[tuple[Path, StoredFile]]:
    """An upload in the local folder, in a file of its own that is gone at the end unless it was given its place."""
    folder = settings.storage_folder / _INCOMING
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, suffix=".part")
    arrived = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as copy:
            stored = _copy(source, copy)
        yield arrived, stored
    finally:
        arrived.unlink(missing_ok=True)


def place_incoming(settings: Settings, import_id: UUID, arrived: Path) -> None:
    arrived.replace(settings.storage_folder / _incoming(import_id))


def sign_incoming(settings: Settings, import_id: UUID) -> str | None:
    """Where a client may PUT its file, for two hours; None when the app itself receives it."""
    if not is_remote(settings):
        return None
    with _remote(settings) as store:
        return store.sign_upload(_incoming(import_id))


def incoming_size(settings: Settings, import_id: UUID) -> int:
    """Raises `NotFound` while nothing has arrived."""
    if is_remote(settings):
        with _remote(settings) as store:
            return store.size(_incoming(import_id))
    try:
        return (settings.storage_folder / _incoming(import_id)).stat().st_size
    except FileNotFoundError:
        raise NotFound("no file has arrived for this import") from None


def store_incoming(settings: Settings, import_id: UUID) -> StoredFile:
    """Store an upload under its content's hash too. May be repeated after a crash, until `drop_incoming`."""
    incoming = _incoming(import_id)
    with _opened(settings, incoming) as file:
        stored = _hashed(file)
    key = _key(stored.sha256)
    if is_remote(settings):
        with _remote(settings) as store:
            if not store.exists(key):
                store.copy(incoming, key)
    else:
        _link(settings.storage_folder / incoming, settings.storage_folder / key)
    return stored


def drop_incoming(settings: Settings, import_id: UUID) -> None:
    if is_remote(settings):
        with _remote(settings) as store:
            store.delete([_incoming(import_id)])
    else:
        (settings.storage_folder / _incoming(import_id)).unlink(missing_ok=True)


def stored_before(settings: Settings, moment: datetime) -> list[str]:
    """The keys of all that has not been written to since: contents, uploads, and what broke off."""
    if is_remote(settings):
        with _remote(settings) as store:
            return [key for key, written_at in store.objects() if written_at < moment]
    found = []
    for path in settings.storage_folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file() and datetime.fromtimestamp(path.stat().st_mtime, UTC) < moment:
                found.append(path.relative_to(settings.storage_folder).as_posix())
    return found


def delete_stored(settings: Settings, keys: Sequence[str]) -> None:
    if is_remote(settings):
        with _remote(settings) as store:
            store.delete(keys)
    else:
        for key in keys:
            (settings.storage_folder / key).unlink(missing_ok=True)


@contextmanager
def _remote(settings: Settings) -> Iterator["RemoteStore"]:
    # imported late: an importer on one machine needs no HTTP client, which is a seventh of its memory
    from penstock.ingest.files.storage.remote import RemoteStore

    with closing(RemoteStore(settings)) as store:
        yield store


@contextmanager
def _opened(settings: Settings, key: str) -> Iterator[BinaryIO]:
    if is_remote(settings):
        with _remote(settings) as store, store.open(key) as remote:
            yield remote
        return
    try:
        file = (settings.storage_folder / key).open("rb")
    except FileNotFoundError:
        raise NotFound("the file is no longer stored: send it again") from None
    with file:
        yield file


def _store(settings: Settings, source: BinaryIO) -> StoredFile:
    if is_remote(settings):
        return _store_remotely(settings, source)
    settings.storage_folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=settings.storage_folder, prefix="incoming-")
    incoming = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as copy:
            stored = _copy(source, copy)
        _place(incoming, settings.storage_folder / _key(stored.sha256))
    finally:
        incoming.unlink(missing_ok=True)
    return stored


def _store_remotely(settings: Settings, source: BinaryIO) -> StoredFile:
    with tempfile.TemporaryFile() as copy, _remote(settings) as store:
        stored = _copy(source, copy)
        if not store.exists(_key(stored.sha256)):
            store.put(_key(stored.sha256), copy)
    return stored


def _copy(source: BinaryIO, copy: BinaryIO) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    while block := source.read(BLOCK):
        digest.update(block)
        copy.write(block)
        size += len(block)
    copy.flush()
    os.fsync(copy.fileno())
    return StoredFile(digest.hexdigest(), size)


def _hashed(file: BinaryIO) -> StoredFile:
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK):
        digest.update(block)
        size += len(block)
    return StoredFile(digest.hexdigest(), size)


def _place(incoming: Path, final: Path) -> None:
    if final.exists():
        incoming.unlink(missing_ok=True)
        final.touch()  # young again: the purge of what no import names must not take it before this one does
        return
    final.parent.mkdir(exist_ok=True)
    incoming.replace(final)


def _link(incoming: Path, final: Path) -> None:
    final.parent.mkdir(exist_ok=True)
    with suppress(FileExistsError):
        final.hardlink_to(incoming)
    final.touch()


def _key(sha256: str) -> str:
    return f"{sha256[:2]}/{sha256}"


def _incoming(import_id: UUID) -> str:
    return f"{_INCOMING}/{import_id}"
