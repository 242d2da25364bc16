"""An import's stored file, as what it holds: its text, or that of the sheet or table in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from penstock.ingest.files.ledger import Import
from penstock.ingest.files.parse.contents import contents
from penstock.ingest.files.storage.stored_files import open_file
from penstock.settings import Settings


@contextmanager
def open_contents(settings: Settings, imported: Import) -> Iterator[BinaryIO]:
    """For reading in order from any offset; raises `NotFound` if the file is no longer stored."""
    with open_stored(settings, imported.content_sha256, imported.options.get("sheet")) as file:
        yield file


@contextmanager
def open_stored(settings: Settings, sha256: str, sheet: str | None) -> Iterator[BinaryIO]:
    """The same of any stored file."""
    with open_file(settings, sha256) as stored, contents(stored, sheet) as file:
        yield file
