"""Orders with a rejected line, held back whole: the faults of a file, and what they and those of other files decide.

`…_faults` are the rejected lines of one import, `…_held` what becomes of each order that has one, or lines held
before; `…_formable` is the view that events are then formed of: without lines that are held, with those of older
files that this one completes. The rules are SQL, in 20261121000505_penstock_held_lines.sql.
"""

from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from penstock.errors import Conflict
from penstock.ingest.files.kept_rejects import room_for_rejects
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.batches import LoadBatch
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import EventMapping, Target
from penstock.postgres.pool import Connection

_ANY = """
select exists (select from {}) or exists (select from raw.held_lines as l where l.target = %s and l.outcome is null)
  or exists (select from raw.held_lines as l where l.claimed_by = %s and l.target = %s)
"""


@dataclass(frozen=True)
class Held:
    """How many lines are held, how many an older import holds already, and how many orders it is about."""

    lines: int = 0
    duplicate: int = 0
    keys: int = 0


class HeldLines:
    """The held lines of one import, whose mapping has `holds`."""

    def __init__(self, import_id: UUID, plan: Plan, mapping: EventMapping) -> None:
        self._import_id = import_id
        self._base = f"import_{import_id.hex}"
        self._target = plan.target
        self._mapping = mapping
        self.faults = sql.Identifier("staging", f"{self._base}_faults")

    def add(self, connection: Connection, batch: LoadBatch, staged: int) -> None:
        """Note the faults of a batch that follows `staged` staged rows."""
        if not batch.rejects:
            return
        statement = sql.SQL("copy {} (line, after_ord, key, is_certain, field, reason) from stdin").format(self.faults)
        with connection.cursor() as cursor, cursor.copy(statement) as copy:
            for reject, before in zip(batch.rejects, batch.records_before, strict=True):
                if reject.outcome == "rejected":
                    certain = reject.key is not None and reject.key_is_certain
                    copy.write_row((reject.line, staged + before, reject.key, certain, reject.field, reject.reason))

    def find(self, connection: Connection) -> Held:
        """Decide about every order with a fault, or with lines held before."""
        values = (self._target.name, self._import_id, self._target.name)
        row = connection.execute(sql.SQL(_ANY).format(self.faults), values).fetchone()
        if row != (True,):
            return Held()
        connection.execute("set local statement_timeout = 0")
        found = connection.execute(
            "select held, duplicate, keys from penstock.find_held_keys(%s, %s, %s, %s, %s)",
            (self._import_id, self._target.name, self._base, self._mapping.by, self._mapping.holds),
        ).fetchone()
        assert found is not None
        held = Held(*found)
        if held.keys:
            connection.execute(self._formable())
        return held

    def keep(self, connection: Connection, imported: Import) -> int:
        """Hold back what `find` has found, and claim what this import completes; gives how many lines are listed."""
        row = connection.execute(
            "select penstock.keep_held_lines(%s, %s, %s, %s, %s)",
            (self._import_id, self._target.name, self._base, self._mapping.by, room_for_rejects(imported)),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def finish(self, connection: Connection, after: int, upto: int) -> None:
        """Count in older imports what became of their lines, beside the append of a range of events."""
        values = (self._import_id, self._base, after, upto)
        connection.execute("select penstock.finish_held_lines(%s, %s, %s, %s)", values)

    def check_unclaimed(self, connection: Connection) -> None:
        """Raise `Conflict` if another import is about to complete an order with lines of this one."""
        claimed = connection.execute(
            """select key from raw.held_lines
               where import_id = %s and claimed_by is not null and outcome is null limit 1""",
            (self._import_id,),
        ).fetchone()
        if claimed:
            raise Conflict(f"another import is about to complete {self._mapping.holds} {claimed[0]}: let it end first")

    def take_back(self, connection: Connection) -> int:
        """The import is undone: it holds nothing any more; gives how many orders with its lines others have stored."""
        connection.execute("select penstock.drop_held_lines(%s)", (self._import_id,))
        row = connection.execute(
            """select count(distinct key) from raw.held_lines
               where import_id = %s and outcome = 'loaded' and claimed_by is distinct from import_id""",
            (self._import_id,),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def hold_again(self, connection: Connection, keys: list[str]) -> None:
        """The import is undone: orders that it had completed with lines of others are held again."""
        values = (self._import_id, self._mapping.by, keys)
        connection.execute("select penstock.hold_lines_again(%s, %s, %s)", values)

    def _formable(self) -> sql.Composed:
        names = sql.SQL(", ").join(sql.Identifier("f", item.name) for item in self._target.fields)
        return sql.SQL(
            """create view staging.{view} as
               select f.ord, {names} from staging.{rows} as f
               where not exists (
                 select from staging.{held} as h where h.key = f.{by}::text and h.verdict = 'held')
               union all
               select l.id - 9e18::bigint, {names} from staging.{held} as h
               join raw.held_lines as l on l.id = any(h.ids)
               cross join lateral {record}
               where h.verdict = 'extended'"""
        ).format(
            view=sql.Identifier(f"{self._base}_formable"),
            rows=sql.Identifier(f"{self._base}_rows"),
            held=sql.Identifier(f"{self._base}_held"),
            by=sql.Identifier(self._mapping.by),
            names=names,
            record=record_of_fields(self._target),
        )


def create_faults(base: str) -> sql.Composed:
    return sql.SQL(
        """create unlogged table staging.{} (line bigint not null, after_ord bigint not null, key text,
             is_certain boolean not null, field text, reason text not null)"""
    ).format(sql.Identifier(f"{base}_faults"))


def drop_held(base: str) -> sql.Composed:
    """Drop what these functions have made; before the view that `…_formable` reads."""
    view = sql.SQL("drop view if exists staging.{}; ").format(sql.Identifier(f"{base}_formable"))
    names = [sql.Identifier("staging", f"{base}_{name}") for name in ("faults", "at_fault", "own", "held")]
    return view + sql.SQL("drop table if exists {}").format(sql.SQL(", ").join(names))


def record_of_fields(target: Target) -> sql.Composed:
    """`l.fields` of a held line as the record `f`."""
    columns = [
        sql.SQL("{} {}").format(sql.Identifier(item.name), sql.SQL(item.field_type.sql_type)) for item in target.fields
    ]
    return sql.SQL("jsonb_to_record(l.fields) as f ({})").format(sql.SQL(", ").join(columns))


def lock(connection: Connection, target: Target) -> None:
    """Before the row of an import is locked: two imports may complete an order of each other."""
    connection.execute("select penstock.lock_held_lines(%s)", (target.name,))
