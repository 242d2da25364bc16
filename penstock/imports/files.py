"""Files as they came, each stored once under the hash of its content.

A folder by default (`Settings.storage_folder`). Nothing here looks into a file.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from penstock.errors import InvalidInput, NotFound
from penstock.settings import Settings

BLOCK = 1 << 20


@dataclass(frozen=True)
class StoredFile:
    sha256: str
    size: int


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
    try:
        file = _path(settings, sha256).open("rb")
    except FileNotFoundError:
        raise NotFound(f"the file {sha256[:12]}… is no longer stored: send it again") from None
    with file:
        yield file


def _store(settings: Settings, source: BinaryIO) -> StoredFile:
    folder = settings.storage_folder
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix="incoming-")
    incoming = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as copy:
            stored = _copy(source, copy)
        _place(incoming, _path(settings, stored.sha256))
    finally:
        incoming.unlink(missing_ok=True)
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


def _place(incoming: Path, final: Path) -> None:
    if final.exists():
        return
    final.parent.mkdir(exist_ok=True)
    incoming.replace(final)


def _path(settings: Settings, sha256: str) -> Path:
    return settings.storage_folder / sha256[:2] / sha256
