"""Forget uploads that never ended, and files that no import names: what a client that went away leaves behind."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from penstock.ingest.files.storage import stored_files
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings

KEPT = timedelta(days=2)
"""A signed address is good for two hours, and what is being written is young: nobody needs such a file after this."""
AT_ONCE = 100

_CONTENT = re.compile(r"[0-9a-f]{2}/([0-9a-f]{64})")
_UPLOAD = re.compile(r"incoming/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_BROKEN_OFF = re.compile(r"incoming/[^/]+\.part|incoming-[^/]+")

_END_UPLOADS = """
update raw.imports set state = 'failed', error = 'abandoned: its file never arrived, or nobody started its import',
  updated_at = clock_timestamp(), finished_at = clock_timestamp()
where state = 'uploading' and created_at < now() - %s
"""
_NAMED = """
select content_sha256 from raw.imports where content_sha256 = any(%(keys)s)
union
select j ->> 'sha256' from raw.imports as i cross join jsonb_array_elements(i.options -> 'join') as j
where i.options ? 'join' and j ->> 'sha256' = any(%(keys)s)
"""
# an upload is needed until its content has been stored under its hash
_AWAITED = """
select id from raw.imports
where id = any(%s) and state in ('uploading', 'waiting') and starts_with(content_sha256, 'upload ')
"""


@dataclass(frozen=True, slots=True)
class Swept:
    uploads: int
    files: int


def sweep(settings: Settings, kept: timedelta = KEPT) -> Swept:
    """End uploads that nobody sends any more, and delete what is older than `kept` and belongs to no import.

    Files of another form than ours stay: they are not this project's.
    """
    with pool.connection(settings) as connection:
        uploads = connection.execute(_END_UPLOADS, (kept,)).rowcount
    old = stored_files.stored_before(settings, datetime.now(UTC) - kept)
    deleted = 0
    for start in range(0, len(old), AT_ONCE):
        # asked right before: an import that began meanwhile names its file by then
        with pool.connection(settings) as connection:
            useless = _useless(connection, old[start : start + AT_ONCE])
        stored_files.delete_stored(settings, useless)
        deleted += len(useless)
    return Swept(uploads, deleted)


def _useless(connection: Connection, keys: list[str]) -> list[str]:
    contents = {match[1]: key for key in keys if (match := _CONTENT.fullmatch(key))}
    uploads = {UUID(match[1]): key for key in keys if (match := _UPLOAD.fullmatch(key))}
    for (sha256,) in connection.execute(_NAMED, {"keys": list(contents)}).fetchall():
        del contents[sha256]
    for (import_id,) in connection.execute(_AWAITED, (list(uploads),)).fetchall():
        del uploads[import_id]
    return [*contents.values(), *uploads.values(), *(key for key in keys if _BROKEN_OFF.fullmatch(key))]
