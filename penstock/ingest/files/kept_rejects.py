"""The refused lines that are kept in full: the first of each import, up to a number and a size; all are counted.

A file of any size may be wrong in every line, and a reject takes far more room than a short line does.
"""

from collections.abc import Sequence
from typing import Final

from penstock.ingest.files.ledger import Import
from penstock.ingest.files.parse.slow_path import RejectedRecord
from penstock.postgres.pool import Connection

KEPT: Final = 10_000
"""More only for a caller who says by `reject_limit` that more are acceptable."""
KEPT_BYTES: Final = 64 << 20
ROW_BYTES: Final = 200
"""What a reject takes beside its texts: the row, its place in the index, its ids."""


def room_for_rejects(imported: Import) -> int:
    """How many more rejects are kept. None after one that was not, so that those kept are the first."""
    if imported.rejected > imported.rejects_kept or imported.rejects_kept_bytes >= KEPT_BYTES:
        return 0
    left = (KEPT_BYTES - imported.rejects_kept_bytes) // ROW_BYTES
    return min(left, max(KEPT, imported.reject_limit or 0) - imported.rejects_kept)


def keep_rejects(connection: Connection, imported: Import, rejects: Sequence[RejectedRecord]) -> dict[str, int]:
    """Write as many of them as there is room for; gives how the counts change."""
    kept, size = _first_that_fit(rejects[: room_for_rejects(imported)], KEPT_BYTES - imported.rejects_kept_bytes)
    if not kept:
        return {}
    statement = "copy raw.import_rejects (import_id, line, byte_offset, field, reason, line_content) from stdin"
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for reject in kept:
            copy.write_row((imported.id, reject.line, reject.offset, reject.field, reject.reason, reject.content))
    return {"rejects_kept_by": len(kept), "rejects_kept_bytes_by": size}


def _first_that_fit(rejects: Sequence[RejectedRecord], room: int) -> tuple[Sequence[RejectedRecord], int]:
    size = 0
    for number, reject in enumerate(rejects):
        weight = ROW_BYTES + len(reject.field or "") + len(reject.reason) + len(reject.content)
        if size + weight > room:
            return rejects[:number], size
        size += weight
    return rejects, size
