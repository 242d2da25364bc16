"""The staged rows of one import: unlogged tables of its own, typed, in the order of the file.

`staging.import_<id>` has the columns of the file; `…_rows` is the view that reads them as the target's fields;
`…_runs` maps the order to line numbers; `…_events` has the events to be appended, half of which may be formed apart, in
`…_half`, a table that inherits from it. All are dropped at the end. What turns a staged value into the final one
is SQL in the view, so that both paths are read in the same way.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Final, LiteralString
from uuid import UUID

from psycopg import sql
from psycopg.rows import dict_row

from penstock.ingest.files.kept_rejects import room_for_rejects
from penstock.ingest.files.ledger import Import
from penstock.ingest.files.load.batches import LoadBatch
from penstock.ingest.files.load.held import HeldLines, create_faults, drop_held, record_of_fields
from penstock.ingest.files.load.joined import JoinTables
from penstock.ingest.files.parse.types import FieldType
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import MOMENT, EventMapping
from penstock.postgres.pool import Connection

_STYLES = {"YMD": "YMD", "DMY": "DMY", "MDY": "MDY"}
# jit: compiling would take longer than the statements do
LONG: LiteralString = "set local statement_timeout = 0; set local jit = off"
COPY_SESSION: LiteralString = "set local timezone = {}; set local datestyle = 'ISO, {}'; " + LONG

_APPEND = """select lines_loaded, lines_duplicate, lines_in_conflict, facts_loaded, events
  from penstock.append_imported_events(%s, %s::regclass, %s, %s, %s, %s, %s::regproc, %s, %s)"""

_RECORD: Final = "', record ' || f.first_ord"
"""Items of a JSON array may share a line; what an event is recognised by must be its own."""
_ANOTHER_CONTENT: Final = """case when c.event_type is null then c.payload #>> '{}'
  else concat(c.aggregate_type, ' ', c.aggregate_id, ' is stored already with other content') end"""
_ID_TAKEN: Final = "concat('its id ', c.id, ' belongs to another event')"
_ORPHAN: Final = (
    "concat('there is no ', c.aggregate_type, ' ', c.aggregate_id, ' yet: load it, then this file once more')"
)


class Staging:
    def __init__(self, import_id: UUID, plan: Plan) -> None:
        base = f"import_{import_id.hex}"
        self._import_id = import_id
        self._base = base
        self._plan = plan
        self.lines = sql.Identifier("staging", base)
        self.rows = sql.Identifier("staging", f"{base}_rows")
        self.runs = sql.Identifier("staging", f"{base}_runs")
        self.events = sql.Identifier("staging", f"{base}_events")
        self.formable = sql.Identifier("staging", f"{base}_formable")
        self.half = sql.Identifier("staging", f"{base}_half")
        self.order = sql.Identifier("staging", f"{base}_ord")
        self._names = column_names(plan)
        into = plan.target.into
        self.joined = JoinTables(import_id, plan.joins)
        self.held = HeldLines(import_id, plan, into) if isinstance(into, EventMapping) and into.holds else None

    def create(self, connection: Connection, timezone: str) -> None:
        # a constant time in the view is read now, once
        open_copy_session(connection, timezone)
        self._drop_rows(connection)
        # a large cache: each COPY begins with a setval, so that no value of an aborted one is left over
        connection.execute(sql.SQL("create sequence {} cache 10000").format(self.order))
        columns = sql.SQL(", ").join(
            sql.SQL("{} {}{}").format(
                sql.Identifier(name), sql.SQL(column.field_type.sql_type), _collation(column.field_type)
            )
            for name, column in zip(self._names, self._plan.columns, strict=True)
        )
        connection.execute(
            sql.SQL("create unlogged table {} (ord bigint not null default nextval({}), {})").format(
                self.lines, sql.Literal(f"staging.{self._base}_ord"), columns
            )
        )
        connection.execute(
            sql.SQL("create unlogged table {} (first_ord bigint primary key, line bigint not null)").format(self.runs)
        )
        connection.execute(sql.SQL("create view {} as select {}").format(self.rows, self._reading()))
        if self.held:
            connection.execute(create_faults(self._base))

    def _reading(self) -> sql.Composed:
        """Every field of the target as an expression over the staged columns."""
        plan = self._plan
        staged = {column.field: (name, column) for name, column in zip(self._names, plan.columns, strict=True)}
        parts = []
        for item in plan.target.fields:
            type_ = item.field_type.sql_type
            if item.name in staged:
                name, column = staged[item.name]
                value: sql.Composable = sql.SQL(column.field_type.sql(f"l.{name}"))
                if item.name in plan.defaults:
                    default = sql.Literal(plan.defaults[item.name])
                    value = sql.SQL("coalesce({}, {}::{})").format(value, default, sql.SQL(type_))
            else:
                fixed = plan.constants.get(item.name, plan.defaults.get(item.name))
                value = sql.SQL("{}::{}").format(sql.Literal(fixed), sql.SQL(type_))
            parts.append(sql.SQL("{} as {}").format(value, sql.Identifier(item.name)))
        return sql.SQL("l.ord, {} from {} as l").format(sql.SQL(", ").join(parts), self.lines)

    def drop(self, connection: Connection) -> None:
        self._drop_rows(connection)
        self.joined.drop(connection)

    def _drop_rows(self, connection: Connection) -> None:
        connection.execute(drop_held(self._base))
        connection.execute(sql.SQL("drop view if exists {}").format(self.rows))
        self.drop_events(connection)
        connection.execute(sql.SQL("drop table if exists {}, {}").format(self.lines, self.runs))
        connection.execute(sql.SQL("drop sequence if exists {}").format(self.order))

    def drop_events(self, connection: Connection) -> None:
        connection.execute(sql.SQL("drop table if exists {}, {}").format(self.events, self.half))

    def is_lost(self, connection: Connection, imported: Import) -> bool:
        """Whether a crash of the server has emptied what the counts say is staged."""
        found = connection.execute("select to_regclass(%s)", (f"staging.{self._base}",)).fetchone()
        if found is None or found[0] is None or self.joined.is_lost(connection):
            return True
        if not imported.staged:
            return False
        row = connection.execute(sql.SQL("select exists (select from {})").format(self.lines)).fetchone()
        return row is None or not row[0]

    def copy(self, connection: Connection, batch: LoadBatch, staged: int, timezone: str) -> int:
        """Add a batch's records after the `staged` ones; gives how many Postgres counted."""
        if self._plan.joins:
            batch.read()  # before COPY: the connection is what joined records are looked up with
        open_copy_session(connection, timezone, self._plan.date_style)
        connection.execute("select setval(%s, %s, false)", (f"staging.{self._base}_ord", staged + 1))
        content = batch.parts if self._plan.joins else batch.stream()
        copied = copy_records(connection, self.lines, self._names, self._plan, content)
        with (
            connection.cursor() as cursor,
            cursor.copy(sql.SQL("copy {} (first_ord, line) from stdin").format(self.runs)) as copy,
        ):
            for records, line in batch.runs:
                copy.write_row((staged + 1 + records, line))
        if self.held:
            self.held.add(connection, batch, staged)
        self.joined.mark(connection, batch.matched)
        return copied

    def form_events(
        self,
        connection: Connection,
        mapping: EventMapping,
        begun_at: datetime,
        content: str,
        actor: str,
        share: tuple[int, int] = (0, 1),
        second: Connection | None = None,
        *,
        held: bool = False,
    ) -> tuple[int, int]:
        """Select the events from the staged rows; gives how many there are and how many lines went into them.

        `share` is (bucket, buckets): rows that belong together fall into one bucket. A `second` connection forms half
        of them meanwhile; it sees only what has been committed, so events of another bucket must be dropped before.
        `held`: orders are held back, or completed by lines of older files.
        """
        rows = self.formable if held else self.rows
        select = self._completed(mapping.select) if held else sql.SQL(mapping.select)
        literals = {
            "begun_at": sql.SQL("{}::timestamptz").format(sql.Literal(begun_at.isoformat())),
            "content": sql.Literal(content),
        }
        bucket, buckets = share
        if second is None:
            whole = select.format(rows=_bucket(rows, mapping, bucket, buckets), **literals)
            self._form(connection, self.events, whole, actor)
        else:
            halves = [
                select.format(rows=_bucket(rows, mapping, 2 * bucket + half, 2 * buckets), **literals)
                for half in (0, 1)
            ]
            with ThreadPoolExecutor(1) as executor:
                apart = executor.submit(self._form_apart, second, halves[1], actor)
                self._form(connection, self.events, halves[0], actor)
                apart.result()
            connection.execute(sql.SQL("alter table {} inherit {}").format(self.half, self.events))
        row = connection.execute(
            sql.SQL("select count(*), coalesce(sum(lines), 0)::bigint from {}").format(self.events)
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    def _form(self, connection: Connection, table: sql.Identifier, select: sql.Composed, actor: str) -> None:
        connection.execute(LONG)
        connection.execute("set local work_mem = '128MB'")
        # the planner knows nothing of a fresh table: a nested loop over the catalogue could take for ever
        connection.execute("set local enable_nestloop = off")
        # the leader of a parallel plan would do most of the work alone: two connections are what halves the time
        connection.execute("set local max_parallel_workers_per_gather = 0")
        connection.execute(sql.SQL("drop table if exists {}").format(table))
        connection.execute(
            sql.SQL(
                """create unlogged table {table} as
                   select f.n, f.first_ord, f.lines, f.aggregate_type, f.aggregate_id, f.id, f.event_type, f.more,
                     f.more_details,
                     f.schema_version, f.occurred_at, f.payload,
                     case when f.metadata is null then f.known
                       else penstock.event_metadata(f.known, f.metadata) end as event_metadata,
                     null::text as outcome, 0::bigint as known
                   from (
                     select f.first_ord as n, f.*, (
                         {begin} || (
                           select r.line + f.first_ord - r.first_ord from {runs} as r where r.first_ord <= f.first_ord
                           order by r.first_ord desc limit 1)
                         || {record} || '", "occurred_at": "' || {moment} || '"}}'
                       )::jsonb as known
                     from ({select}) as f
                   ) as f"""
            ).format(
                table=table,
                runs=self.runs,
                select=select,
                begin=sql.Literal(self._metadata_begun(actor)),
                record=sql.SQL(_RECORD if self._plan.dialect.format == "json" else "''"),
                moment=sql.SQL(MOMENT.replace("<at>", "f.occurred_at")),
            )
        )
        connection.execute(sql.SQL("alter table {} add primary key (n)").format(table))

    def _form_apart(self, connection: Connection, select: sql.Composed, actor: str) -> None:
        with connection.transaction():
            # the statement of a killed worker goes on in Postgres: wait until its table can be seen and dropped
            connection.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"{self._base}_half",))
            self._form(connection, self.half, select, actor)

    def _metadata_begun(self, actor: str) -> str:
        """The metadata of every event up to the number of its line: JSON written once, not built for each."""
        fixed = {"correlation_id": str(self._import_id), "actor": actor, "source": "import"}
        return f'{json.dumps(fixed)[:-1]}, "causation_id": "import:{self._import_id}#line '

    def form_claimed(self, connection: Connection, mapping: EventMapping, imported: Import) -> int:
        """Form events of the held lines that this import has claimed; gives how many there are."""
        self.drop(connection)
        lines = sql.SQL(
            """(select row_number() over (order by l.import_id <> {import_id}, l.id) as ord, l.line, f.*
                from raw.held_lines as l cross join lateral {record}
                where l.claimed_by = {import_id} and l.outcome is null)"""
        ).format(import_id=sql.Literal(imported.id), record=record_of_fields(self._plan.target))
        connection.execute(
            sql.SQL("create unlogged table {} as select h.ord as first_ord, h.line from {} as h").format(
                self.runs, lines
            )
        )
        literals = {
            "begun_at": sql.SQL("{}::timestamptz").format(sql.Literal(imported.created_at.isoformat())),
            "content": sql.Literal(imported.content_sha256),
        }
        select = sql.SQL(mapping.select).format(rows=lines, **literals)
        self._form(connection, self.events, select, imported.actor)
        return self.cut(connection, 0, 2**62)

    def _completed(self, select: LiteralString) -> sql.SQL:
        """Of an event with lines of older files: where its own lines begin, and how many of its own there are."""
        return sql.SQL(
            f"""select
                  case when h.key is null then e.first_ord else h.first_ord end as first_ord,
                  e.lines - coalesce(h.lines_before, 0) as lines, e.aggregate_type, e.aggregate_id, e.id, e.event_type,
                  e.more, e.more_details, e.schema_version, e.occurred_at, e.payload, e.metadata
                from ({select}) as e
                left join staging.{self._base}_held as h on h.key = e.aggregate_id and h.verdict = 'extended'"""  # noqa: S608
        )

    def cut(self, connection: Connection, after: int, number: int) -> int:
        """The last of the next `number` staged events in the order of the file; `after` itself when none is left."""
        row = connection.execute(
            sql.SQL(
                "select coalesce(max(f.n), %s) from (select n from {} where n > %s order by n limit %s) as f"
            ).format(self.events),
            (after, after, number),
        ).fetchone()
        assert row is not None
        return int(row[0])

    def classify(self, connection: Connection, mapping: EventMapping, staged: int) -> tuple[int, int, int]:
        """What would become of the `staged` lines now: (loaded, duplicate, in conflict)."""
        name = f"staging.{self._base}_events"
        connection.execute("set local enable_nestloop = off")
        connection.execute(
            "select penstock.classify_imported_events(%s, %s::regclass, 0, %s, %s, %s, %s::regproc, %s, %s)",
            (self._import_id, name, staged, *mapping.rules),
        )
        row = connection.execute(
            "select lines_loaded, lines_duplicate, lines_in_conflict from penstock.count_outcomes(%s::regclass, 0, %s)",
            (name, staged),
        ).fetchone()
        assert row is not None
        return row[0], row[1], row[2]

    def preview_rows(self, connection: Connection, number: int) -> list[dict[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(sql.SQL("select * from {} order by ord limit %s").format(self.rows), (number,))
            return [{name: value for name, value in row.items() if name != "ord"} for row in cursor.fetchall()]

    def append(
        self, connection: Connection, imported: Import, mapping: EventMapping, after: int, upto: int
    ) -> "dict[str, int]":
        """Append a range of staged events; gives the counts of `penstock.append_imported_events`."""
        connection.execute(LONG)
        values = (imported.id, f"staging.{self._base}_events", after, upto, *mapping.rules)
        row = connection.execute(_APPEND, values).fetchone()
        assert row is not None
        counts = dict(zip(("loaded", "duplicate", "conflict", "facts", "events"), map(int, row), strict=True))
        # lines that a loaded import releases are listed already
        listed = counts["conflict"] and not imported.is_final
        kept = self._reject_conflicts(connection, imported, mapping, after, upto) if listed else 0
        early = self._count_early(connection, after, upto) if counts["conflict"] and mapping.needs else 0
        return {**counts, "rejects_kept": kept, "early": early}

    def _count_early(self, connection: Connection, after: int, upto: int) -> int:
        orphans = sql.SQL("select count(*) from {} as c where c.n > %s and c.n <= %s and c.outcome = 'orphan'")
        row = connection.execute(orphans.format(self.events), (after, upto)).fetchone()
        assert row is not None
        return int(row[0])

    def _reject_conflicts(
        self, connection: Connection, imported: Import, mapping: EventMapping, after: int, upto: int
    ) -> int:
        """Refuse every line of an event that the store has with other content; gives how many are kept as rejects."""
        other = _ID_TAKEN if mapping.repeat == "id" else _ANOTHER_CONTENT
        refused = """
            select (select s.line + r.ord - s.first_ord from {runs} as s where s.first_ord <= r.ord
                    order by s.first_ord desc limit 1) as line, {reason} as reason
            from {events} as c
            join {rows} as r on {match}
            where c.n > %(after)s and c.n <= %(upto)s and c.outcome in ('conflict', 'orphan') and {alone}
        """
        alternatives = (("c.lines = 1", "r.ord = c.first_ord"), ("c.lines > 1", "r.{by} = c.aggregate_id"))
        selects = [
            sql.SQL(refused).format(
                runs=self.runs,
                events=self.events,
                rows=self.rows,
                reason=sql.SQL(f"case when c.outcome = 'orphan' then {_ORPHAN} else {other} end"),
                match=sql.SQL(match).format(by=sql.Identifier(mapping.by)),
                alone=sql.SQL(alone),
            )
            for alone, match in alternatives
        ]
        insert = sql.SQL(
            """insert into raw.import_rejects (import_id, line, field, reason)
               select %(import)s, refused.line, %(field)s, refused.reason from ({}) as refused
               order by refused.line limit %(room)s"""
        ).format(sql.SQL(" union all ").join(selects))
        values = {"import": imported.id, "field": mapping.by, "after": after, "upto": upto}
        return connection.execute(insert, {**values, "room": room_for_rejects(imported)}).rowcount


def _bucket(rows: sql.Identifier, mapping: EventMapping, bucket: int, buckets: int) -> sql.Composable:
    if buckets == 1:
        return rows
    return sql.SQL("(select * from {} where abs(hashtext({}) % {}) = {})").format(
        rows, sql.Identifier(mapping.by), sql.Literal(buckets), sql.Literal(bucket)
    )


def _collation(field_type: FieldType) -> sql.SQL:
    """Staged texts are only ever grouped and compared as equal: bytes are the fastest way."""
    return sql.SQL(' collate "C"' if field_type.sql_type == "text" else "")


def open_copy_session(connection: Connection, timezone: str, date_style: str = "YMD") -> None:
    """How this transaction reads times without a zone; Supabase's default date style is another."""
    connection.execute(sql.SQL(COPY_SESSION).format(sql.Literal(timezone), sql.SQL(_STYLES[date_style])))


def column_names(plan: Plan) -> list[str]:
    """The staged columns' names: the field's, or one for a column that is passed over."""
    return [column.field or f"ignored_{place}" for place, column in enumerate(plan.columns)]


def copy_records(
    connection: Connection, table: sql.Composable, names: list[str], plan: Plan, parts: Iterable[bytes]
) -> int:
    optional = [name for name, column in zip(names, plan.columns, strict=True) if not column.required]
    force_null = sql.SQL(", force_null ({})").format(_listed(optional)) if optional else sql.SQL("")
    statement = sql.SQL("copy {} ({}) from stdin with (format csv, encoding 'utf8', delimiter {}{})").format(
        table, _listed(names), sql.Literal(plan.dialect.delimiter), force_null
    )
    with connection.cursor() as cursor:
        with cursor.copy(statement) as copy:
            for part in parts:
                copy.write(part)
        return cursor.rowcount


def _listed(names: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
