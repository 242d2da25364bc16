"""What the app, the Inngest function and the CLI call, beside `advance_import`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

from penstock.ingest.files import ledger
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.options import REJECT_SHARE, Options, check_reject_bounds
from penstock.ingest.files.planning import check_names
from penstock.ingest.files.rejects import reject_lines
from penstock.ingest.files.storage.stored_files import store_file
from penstock.ingest.files.target import find_target
from penstock.postgres import pool
from penstock.settings import Settings


def create_import(
    settings: Settings,
    target: str,
    source: Path | bytes | BinaryIO,
    *,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    reject_limit: int | None = None,
    reject_share: float = REJECT_SHARE,
    actor: str = "import",
) -> tuple[Import, bool]:
    """Store a file and open its import; True if this very file was imported in this very way before.

    `options` as in `Options`: mapping, constants, defaults, dates, decimal, format, encoding, delimiter, header.
    Reads nothing of the content yet: what is wrong with it shows in the import's state.
    """
    checked = Options.read(options)
    check_names(find_target(target), checked)
    check_reject_bounds(reject_limit, reject_share)
    shown = name or (source.name if isinstance(source, Path) else "upload")
    stored = store_file(settings, source)
    with pool.transaction(settings) as connection:
        return ledger.open_import(
            connection,
            settings,
            target,
            shown.replace("\x00", "")[:500],
            stored,
            checked,
            reject_limit,
            reject_share,
            actor,
        )


def import_status(settings: Settings, import_id: UUID) -> Import:
    """The import as it is now; raises `NotFound`."""
    with pool.connection(settings) as connection:
        return ledger.read_import(connection, import_id)


def list_imports(settings: Settings, max_count: int = 50) -> list[Import]:
    """The latest imports, newest first."""
    with pool.connection(settings) as connection:
        return ledger.list_imports(connection, max_count)


def rejects_csv(settings: Settings, import_id: UUID) -> Iterator[str]:
    """Yield the refused lines as CSV text, header first, by pages; raises `NotFound` at once."""
    import_status(settings, import_id)
    return reject_lines(settings, import_id)
