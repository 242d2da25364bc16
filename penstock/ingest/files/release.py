"""Load orders that are held back as they are: the lines that are missing will not come."""

from collections.abc import Sequence
from uuid import UUID

from penstock.errors import Conflict, NotFound
from penstock.ingest.files import ledger
from penstock.ingest.files.ledger import LOADED_STATES, Import
from penstock.ingest.files.load.held import lock
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.target import EventMapping
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings


def release_held(settings: Settings, import_id: UUID, keys: Sequence[str] = ()) -> Import:
    """Load what an import holds, or those orders of it, with the lines of them that other imports hold.

    One transaction; again changes nothing. `result.released` counts the orders. Raises `NotFound` for an order that the
    import does not hold, `Conflict` for an import that is not loaded, and for an order that another import is about to
    complete.
    """
    with pool.connection(settings) as connection:
        seen = ledger.read_import(connection, import_id)
        with connection.transaction():
            if seen.plan is not None:
                lock(connection, seen.read_plan.target)
            imported = ledger.read_import(connection, import_id, lock=True)
            if imported.state not in LOADED_STATES:
                raise Conflict(f"the import is {imported.state}: only what was loaded holds anything back")
            mapping = imported.read_plan.target.into if imported.plan else None
            if isinstance(mapping, EventMapping) and mapping.holds:
                _release(connection, imported, mapping, _chosen(connection, imported, mapping.holds, keys))
            return ledger.read_import(connection, import_id)


def _chosen(connection: Connection, imported: Import, what: str, keys: Sequence[str]) -> list[str]:
    rows = connection.execute(
        "select distinct key from raw.held_lines where import_id = %s and outcome is null", (imported.id,)
    ).fetchall()
    held = {key for (key,) in rows}
    if unknown := [key for key in keys if key not in held]:
        raise NotFound(f"the import holds no {what} {unknown[0][:80]!r}", key=unknown[0][:80])
    return sorted(held.intersection(keys) if keys else held)


def _release(connection: Connection, imported: Import, mapping: EventMapping, keys: list[str]) -> None:
    if not keys:
        return
    taken = connection.execute(
        """select l.key from raw.held_lines as l join raw.imports as i on i.id = l.import_id
           where l.target = %s and l.key = any(%s) and l.outcome is null
             and (l.claimed_by is not null or i.finished_at is null) limit 1""",
        (imported.target, keys),
    ).fetchone()
    if taken:
        raise Conflict(f"another import is about to complete {mapping.holds} {taken[0]}")
    connection.execute(
        """update raw.held_lines set claimed_by = %s, verdict = 'extended'
           where target = %s and key = any(%s) and outcome is null""",
        (imported.id, imported.target, keys),
    )
    staging = Staging(imported.id, imported.read_plan)
    upto = staging.form_claimed(connection, mapping, imported)
    counts = staging.append(connection, imported, mapping, 0, upto)
    assert staging.held is not None
    staging.held.finish(connection, 0, upto)
    staging.drop(connection)
    result = {
        **imported.result,
        "facts": imported.result.get("facts", 0) + counts["facts"],
        "events": imported.result.get("events", 0) + counts["events"],
        "released": imported.result.get("released", 0) + len(keys),
    }
    # the time too: what it has brought to the store came before it was finished
    ledger.finish_import(connection, imported.id, imported.state, result=result)
