"""Forget imports that ended long ago, with their rejects and what `undo` needs.

Their files go as those that no import names do. What they brought stays; the same file again would be compared with
it, line by line.
"""

from datetime import timedelta

from penstock.postgres import pool
from penstock.settings import Settings

KEPT = timedelta(days=365)
AT_ONCE = 20

_FORGET = """
delete from raw.imports where id in (
  select id from raw.imports
  where state in ('completed', 'completed_with_rejects', 'failed', 'aborted', 'undone') and finished_at < now() - %s
  limit %s for update skip locked)
"""


def forget_old(settings: Settings, kept: timedelta = KEPT) -> int:
    """Delete imports that ended longer ago than `kept`, a few in each transaction; gives how many."""
    forgotten = 0
    while True:
        with pool.transaction(settings) as connection:
            connection.execute("set local statement_timeout = 0")  # one import may have changed millions of rows
            deleted = connection.execute(_FORGET, (kept, AT_ONCE)).rowcount
        if not deleted:
            return forgotten
        forgotten += deleted
