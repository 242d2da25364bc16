"""Recognises a database of before, when read models were in `public` and the machinery in `ops`.

Nothing leads from that layout to the present one in place: the events move to a new database, everything else follows
from them (docs/deploy.md). So such a database is refused before anything is written to it.
"""

from typing import Any, Final

import psycopg

from penstock.errors import Conflict

# The first migration of that layout: every database of before has it, under a version that is now another's.
_FIRST: Final = ("20261121000000", "roles_and_schemas")


def refuse_former_layout(connection: psycopg.Connection[Any]) -> None:
    """Raise `Conflict` if the ledger of migrations is one of the former layout. Only reads."""
    if connection.execute("select to_regclass('supabase_migrations.schema_migrations')").fetchone() == (None,):
        return
    row = connection.execute(
        "select exists (select from supabase_migrations.schema_migrations as m"
        " where (m.version, to_jsonb(m) ->> 'name') = (%s, %s))",  # an early CLI kept no names
        _FIRST,
    ).fetchone()
    if row == (True,):
        raise Conflict(
            "this database has the layout of before, with read models in `public`: nothing was changed, give an empty"
            " database instead and move the events there (docs/deploy.md, Move from before 0.2.0; locally, if they"
            " may go: make clean)"
        )
