"""The lines left out that are kept in full: the first of each import, up to a number and a size; all are counted.

A file of any size may be wrong in every line, and a reject takes far more room than a short line does. Skipped lines
have a number of their own, so that they never take the place of a fault.
"""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from penstock.ingest.files.hints import Fault
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
    if imported.rejected + imported.held > imported.rejects_kept or imported.rejects_kept_bytes >= KEPT_BYTES:
        return 0
    left = (KEPT_BYTES - imported.rejects_kept_bytes) // ROW_BYTES
    return min(left, max(KEPT, imported.reject_limit or 0) - imported.rejects_kept)


def _room_for_skips(imported: Import) -> int:
    return KEPT - imported.skips_kept if imported.skipped == imported.skips_kept else 0


def keep_rejects(connection: Connection, imported: Import, rejects: Sequence[RejectedRecord]) -> dict[str, int]:
    """Write as many of them as there is room for; gives how the counts change."""
    room = {"rejected": room_for_rejects(imported), "skipped": _room_for_skips(imported)}
    wanted = []
    for reject in rejects:
        if room[reject.outcome] > 0:
            room[reject.outcome] -= 1
            wanted.append(reject)
    kept, size = _first_that_fit(wanted, KEPT_BYTES - imported.rejects_kept_bytes)
    if not kept:
        return {}
    statement = (
        "copy raw.import_rejects (import_id, line, outcome, byte_offset, field, reason, line_content) from stdin"
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for reject in kept:
            copy.write_row(
                (imported.id, reject.line, reject.outcome, reject.offset, reject.field, reject.reason, reject.content)
            )
    skips = sum(reject.outcome == "skipped" for reject in kept)
    return {"rejects_kept_by": len(kept) - skips, "skips_kept_by": skips, "rejects_kept_bytes_by": size}


def first_faults(connection: Connection, import_id: UUID, number: int) -> list[Fault]:
    """The first rejected lines that are kept with their content."""
    rows = connection.execute(
        """select field, reason, line_content from raw.import_rejects
           where import_id = %s and outcome = 'rejected' and line_content is not null order by line, id limit %s""",
        (import_id, number),
    ).fetchall()
    return [Fault(*row) for row in rows]


def _first_that_fit(rejects: Sequence[RejectedRecord], room: int) -> tuple[Sequence[RejectedRecord], int]:
    size = 0
    for number, reject in enumerate(rejects):
        weight = ROW_BYTES + len(reject.field or "") + len(reject.reason) + len(reject.content)
        if size + weight > room:
            return rejects[:number], size
        size += weight
    return rejects, size
