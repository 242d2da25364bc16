"""Find imports that nobody works on: whose start event was lost, whose worker died, or whose undo was cut off."""

from datetime import timedelta
from uuid import UUID

from penstock.postgres import pool
from penstock.settings import Settings

# A start event is sent within a second; a step of a large file may be silent for minutes.
NOT_BEGUN = timedelta(minutes=2)
SILENT = timedelta(minutes=15)

_FIND = """
select id from raw.imports
where state in ('waiting', 'loading', 'forming', 'appending', 'undoing')
  and updated_at < now() - case state when 'waiting' then %(not_begun)s else %(silent)s end
order by created_at limit 100
"""


def stalled_imports(settings: Settings) -> list[UUID]:
    """Ids, the oldest first, at most 100. To go on with one that is worked on after all does no harm."""
    with pool.connection(settings) as connection:
        rows = connection.execute(_FIND, {"not_begun": NOT_BEGUN, "silent": SILENT}).fetchall()
    return [import_id for (import_id,) in rows]
