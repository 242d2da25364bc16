"""Rows into a plain table, in the transaction of their batch.

First a COPY straight into the table, in a savepoint: by far the fastest way when every row is new. When a key is
there already, the batch goes through a temporary table and only rows that are new or differ are written, so that the
same rows again write nothing. When Postgres refuses a row for a reason of the table's own (a check, a foreign key),
the batch is halved until the row is found; it becomes a reject with Postgres' words.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from penstock.errors import InvalidInput
from penstock.ingest.files.load.batches import LoadBatch
from penstock.ingest.files.load.staging import column_names, copy_records, open_copy_session
from penstock.ingest.files.parse.fast_path import build_patterns
from penstock.ingest.files.parse.slow_path import KEPT, RejectedRecord
from penstock.ingest.files.parse.types import Day, FieldType, Integer, Number, Timestamp
from penstock.ingest.files.plan import Plan
from penstock.ingest.files.target import Table, Target
from penstock.postgres.pool import Connection

MISSES = 2
"""After so many batches with a key that was there, the next ones are compared at once."""


_REFUSALS = (psycopg.errors.IntegrityError, psycopg.errors.DataError)


_PASSES_FOR_EMPTY = """
select c.reltuples >= 0 and c.reltuples < c.relpages from pg_catalog.pg_class as c where c.oid = to_regclass(%s)
"""


@dataclass
class Written:
    """What became of a batch. `compared`: not every row was simply new."""

    added: int = 0
    updated: int = 0
    duplicate: int = 0
    compared: bool = False
    rejects: list[RejectedRecord] = field(default_factory=list)


class TableWriter:
    """Writes batches of one import. `misses` carries over from batch to batch."""

    def __init__(self, import_id: UUID, plan: Plan, timezone: str) -> None:
        table = plan.target.into
        assert isinstance(table, Table)
        self._import_id = import_id
        self._plan = plan
        self._timezone = timezone
        self._name = table.name
        self._table = sql.Identifier(*table.name.split("."))
        self._key = table.key
        self._file_columns = column_names(plan)
        named = [column.field for column in plan.columns if column.field]
        self._constants = {name: value for name, value in plan.constants.items() if name not in named}
        filled = [name for name in plan.defaults if name not in named and name not in self._constants]
        self._constants |= {name: plan.defaults[name] for name in filled}
        self._columns = [*named, *self._constants]
        self._values = [name for name in self._columns if name not in table.key]
        defaulted = any(name in plan.defaults for name in named)
        self._is_plain = len(named) == len(self._file_columns) and not self._constants and not defaulted
        self.misses = 0
        self._may_mislead = True

    def write(self, connection: Connection, batch: LoadBatch) -> Written:
        """Write the batch's records; the caller's transaction commits them."""
        open_copy_session(connection, self._timezone, self._plan.date_style)
        if self._is_plain and self.misses < MISSES and (added := self._copy_straight(connection, batch)) is not None:
            return Written(added=added)
        return self._write_compared(connection, batch)

    def _copy_straight(self, connection: Connection, batch: LoadBatch) -> int | None:
        """Gives None when the table did not take all of it."""
        try:
            with connection.transaction():
                return copy_records(connection, self._table, self._file_columns, self._plan, batch.stream())
        except _REFUSALS as error:
            self.misses += isinstance(error, psycopg.errors.UniqueViolation)
            batch.read()
            return None

    def _write_compared(self, connection: Connection, batch: LoadBatch) -> Written:
        written = Written(compared=True)
        try:
            with connection.transaction():
                self._compare(connection, batch.parts or batch.stream(), written)
                return written
        except _REFUSALS:
            written = Written(compared=True)
            records = self._records(batch.read())
            self._halve(connection, batch, records, 0, len(records), written)
            return written

    def _mend_statistics(self, connection: Connection) -> None:
        """Once: a table that was analyzed while it was being filled passes for empty, and is scanned for each row."""
        if self._may_mislead:
            found = connection.execute(_PASSES_FOR_EMPTY, (self._name,)).fetchone()
            if found == (True,):
                connection.execute(sql.SQL("analyze (skip_locked) {}").format(self._table))
            self._may_mislead = False

    def _halve(
        self, connection: Connection, batch: LoadBatch, records: list[bytes], start: int, end: int, written: Written
    ) -> None:
        """Write what can be written of records[start:end]; a single one that cannot becomes a reject."""
        part = Written(compared=True)
        try:
            with connection.transaction():
                self._compare(connection, records[start:end], part)
        except _REFUSALS as error:
            if end - start == 1:
                written.rejects.append(_refused(batch, start, records[start], error))
                return
            middle = (start + end) // 2
            self._halve(connection, batch, records, start, middle, written)
            self._halve(connection, batch, records, middle, end, written)
            return
        written.added += part.added
        written.updated += part.updated
        written.duplicate += part.duplicate

    def _records(self, batch: LoadBatch) -> list[bytes]:
        dialect = self._plan.dialect
        whole = build_patterns(self._plan.columns, dialect.delimiter.encode(), dialect.line_end.encode()).whole
        return [match.group() for match in whole.finditer(b"".join(batch.parts))][: batch.records]

    def _compare(self, connection: Connection, parts: Iterable[bytes], written: Written) -> None:
        """Through a temporary table: add what is new, change what differs, leave the rest alone."""
        rows = self._fill_temporary(connection, parts)
        self._keep_last_lines(connection)
        new_rows = self._classify(connection)
        written.added = self._insert_new(connection) if new_rows else 0
        if new_rows > written.added:  # somebody else has added a key in the meantime
            connection.execute("drop table import_differing")
            self._classify(connection)
        written.updated = self._update_changed(connection)
        written.duplicate = rows - written.added - written.updated
        connection.execute("drop table import_differing, import_batch")

    def _keep_last_lines(self, connection: Connection) -> None:
        """Of several lines with one key the last counts; the others are duplicates."""
        key = _columns("c", self._key)
        repeated = connection.execute(
            sql.SQL("select exists (select from import_batch as c group by {} having count(*) > 1)").format(key)
        ).fetchone()
        if repeated == (True,):
            connection.execute(
                sql.SQL(
                    """delete from import_batch as c using (
                         select {key}, max(c.import_ord) as last from import_batch as c
                         group by {key} having count(*) > 1
                       ) as d where {same_key} and c.import_ord < d.last"""
                ).format(key=key, same_key=self._same_key("c", "d"))
            )

    def _fill_temporary(self, connection: Connection, parts: Iterable[bytes]) -> int:
        self._mend_statistics(connection)
        connection.execute("drop table if exists pg_temp.import_batch, pg_temp.import_differing")
        # the table's own types, so that a value meets here what it would meet there
        named = [sql.SQL("t.{}").format(sql.Identifier(name)) for name in self._columns]
        ignored = [name for name in self._file_columns if name not in self._columns]
        named += [sql.SQL("null::text as {}").format(sql.Identifier(name)) for name in ignored]
        connection.execute(
            sql.SQL(
                """create temporary table import_batch on commit drop as select {} from {} as t with no data;
                   alter table import_batch add import_ord bigint generated always as identity"""
            ).format(sql.SQL(", ").join(named), self._table)
        )
        for name, value in self._constants.items():
            connection.execute(
                sql.SQL("alter table import_batch alter column {} set default {}").format(
                    sql.Identifier(name), sql.Literal(value)
                )
            )
        rows = copy_records(connection, sql.Identifier("import_batch"), self._file_columns, self._plan, parts)
        self._fill_defaults(connection)
        return rows

    def _fill_defaults(self, connection: Connection) -> None:
        for name, value in self._plan.defaults.items():
            if name in self._columns and name not in self._constants:
                connection.execute(
                    sql.SQL("update import_batch set {0} = {1} where {0} is null").format(
                        sql.Identifier(name), sql.Literal(value)
                    )
                )

    def _classify(self, connection: Connection) -> int:
        """Keep the rows that are new or differ; gives how many are new."""
        # the batch is small beside the table: look each key up instead of reading the whole table
        connection.execute("set local enable_hashjoin = off; set local enable_mergejoin = off")
        connection.execute(
            sql.SQL(
                """create temporary table import_differing on commit drop as
                   select c.*, t.{key} is null as import_is_new, to_jsonb(t) as import_before
                   from import_batch as c left join {table} as t on {same_key}
                   where t.{key} is null or ({mine}) is distinct from ({theirs})"""
            ).format(
                key=sql.Identifier(self._key[0]),
                table=self._table,
                same_key=self._same_key("c", "t"),
                mine=_columns("c", self._values),
                theirs=_columns("t", self._values),
            )
        )
        connection.execute("set local enable_hashjoin = on; set local enable_mergejoin = on")
        row = connection.execute("select count(*) from import_differing where import_is_new").fetchone()
        assert row is not None
        return int(row[0])

    def _insert_new(self, connection: Connection) -> int:
        cursor = connection.execute(
            sql.SQL(
                """with added as (
                     insert into {table} as t ({columns})
                     select {chosen} from import_differing as c where c.import_is_new order by c.import_ord
                     on conflict ({bare_key}) do nothing
                     returning t.*
                   )
                   insert into raw.import_changes (import_id, key, after)
                   select %s, {key_object}, to_jsonb(a) from added as a"""
            ).format(
                table=self._table,
                columns=_listed(self._columns),
                chosen=_columns("c", self._columns),
                bare_key=_listed(self._key),
                key_object=self._key_object("a"),
            ),
            (self._import_id,),
        )
        return cursor.rowcount

    def _update_changed(self, connection: Connection) -> int:
        if not self._values:
            return 0
        cursor = connection.execute(
            sql.SQL(
                """with changed as (
                     update {table} as t set ({columns}) = row({values})
                     from import_differing as c
                     where not c.import_is_new and {same_key} and ({mine}) is distinct from ({theirs})
                     returning t.*, c.import_before
                   )
                   insert into raw.import_changes (import_id, key, before, after)
                   select %s, {key_object}, d.import_before, to_jsonb(d) - 'import_before' from changed as d"""
            ).format(
                table=self._table,
                columns=_listed(self._values),
                values=_columns("c", self._values),
                same_key=self._same_key("c", "t"),
                mine=_columns("c", self._values),
                theirs=_columns("t", self._values),
                key_object=self._key_object("d"),
            ),
            (self._import_id,),
        )
        return cursor.rowcount

    def restore_changes(self, connection: Connection) -> tuple[int, int, int]:
        """Put changed rows back and remove added ones that nobody has touched since: (all, restored, removed)."""
        connection.execute("drop table if exists pg_temp.import_undo")
        changes = connection.execute(
            """create temporary table import_undo on commit drop as
               select c.key, (array_agg(c.before order by c.id))[1] as before,
                 (array_agg(c.after order by c.id desc))[1] as after
               from raw.import_changes as c where c.import_id = %s group by c.key""",
            (self._import_id,),
        ).rowcount
        of_row = sql.SQL("u.key = {} and u.after = to_jsonb(t)").format(self._key_object("t"))
        restored = connection.execute(
            sql.SQL(
                """update {table} as t set ({columns}) = (
                     select {values} from jsonb_populate_record(null::{table}, u.before) as b
                   ) from import_undo as u where u.before is not null and {of_row}"""
            ).format(
                table=self._table, columns=_listed(self._columns), values=_columns("b", self._columns), of_row=of_row
            )
        ).rowcount
        removed = connection.execute(
            sql.SQL("delete from {} as t using import_undo as u where u.before is null and {}").format(
                self._table, of_row
            )
        ).rowcount
        return changes, restored, removed

    def remove_copied(self, connection: Connection, parts: Iterable[bytes]) -> tuple[int, int]:
        """Remove rows that were copied in and are still as they were: (copied, removed)."""
        open_copy_session(connection, self._timezone, self._plan.date_style)
        copied = self._fill_temporary(connection, parts)
        removed = connection.execute(
            sql.SQL("delete from {} as t using import_batch as c where {} and ({}) is not distinct from ({})").format(
                self._table,
                self._same_key("c", "t"),
                _columns("c", self._columns),
                _columns("t", self._columns),
            )
        ).rowcount
        return copied, removed

    def preview(self, connection: Connection, parts: Iterable[bytes]) -> tuple[int, int, int]:
        """What these records would do: (added, updated, duplicate). The rows stay in the temporary table."""
        open_copy_session(connection, self._timezone, self._plan.date_style)
        rows = self._fill_temporary(connection, parts)
        self._keep_last_lines(connection)
        added = self._classify(connection)
        row = connection.execute("select count(*) from import_differing where not import_is_new").fetchone()
        assert row is not None
        return added, row[0], rows - added - row[0]

    def preview_rows(self, connection: Connection, number: int) -> list[dict[str, object]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(
                sql.SQL("select {} from import_batch as c order by c.import_ord limit %s").format(
                    _columns("c", self._columns)
                ),
                (number,),
            )
            return cursor.fetchall()

    def _same_key(self, one: str, other: str) -> sql.Composed:
        return sql.SQL(" and ").join(
            sql.SQL("{} = {}").format(sql.Identifier(one, name), sql.Identifier(other, name)) for name in self._key
        )

    def _key_object(self, alias: str) -> sql.Composed:
        pairs = [sql.SQL("{}, {}").format(sql.Literal(name), sql.Identifier(alias, name)) for name in self._key]
        return sql.SQL("jsonb_build_object({})").format(sql.SQL(", ").join(pairs))


def check_table(connection: Connection, target: Target, plan: Plan) -> None:
    """Compare the description with the table that there is; raises `InvalidInput` where values would change."""
    table = target.into
    assert isinstance(table, Table)
    rows = connection.execute(
        """select a.attname, format_type(a.atttypid, a.atttypmod),
             a.attnotnull and not a.atthasdef and a.attidentity = ''
           from pg_catalog.pg_attribute as a
           where a.attrelid = to_regclass(%s) and a.attnum > 0 and not a.attisdropped""",
        (table.name,),
    ).fetchall()
    if not rows:
        raise InvalidInput(f"there is no table {table.name}", field="target")
    types = {name: type_ for name, type_, _ in rows}
    given = {*plan.fields, *plan.constants, *plan.defaults} - {None}
    for name in sorted(given, key=str):
        if not _fits(plan.field_type_of(str(name)), types.get(str(name), "nothing")):
            raise InvalidInput(f"{table.name}.{name} is {types.get(str(name), 'not there')}", field="target")
    for name, _, needed in rows:
        if needed and name not in given:
            raise InvalidInput(f"{table.name}.{name} must have a value and no column gives one", field="mapping")


def _fits(field_type: FieldType, type_: str) -> bool:
    """Whether the column keeps every value of the type, or refuses it; never whether it may round or cut."""
    if isinstance(field_type, Number):
        match = re.fullmatch(r"numeric(?:\(\d+,(\d+)\))?", type_)
        return bool(match) and (match is not None and (match[1] is None or int(match[1]) >= field_type.places))
    if isinstance(field_type, Integer):
        return bool(re.fullmatch(r"smallint|integer|bigint|numeric", type_))
    if isinstance(field_type, Day):
        return type_ == "date"
    if isinstance(field_type, Timestamp):
        return type_ == "timestamp with time zone"
    return (
        type_ == "boolean"
        if field_type.sql_type == "boolean"
        else not re.match(r"character\(|timestamp|real|double|date", type_)
    )


def _refused(batch: LoadBatch, record: int, data: bytes, error: psycopg.Error) -> RejectedRecord:
    diagnosis = error.diag
    reason = diagnosis.message_primary or str(error)
    if diagnosis.constraint_name and diagnosis.constraint_name not in reason:
        reason = f"{reason} ({diagnosis.constraint_name})"
    content = batch.origins.get(record, data).rstrip(b"\r\n")
    return RejectedRecord(batch.line_of(record), None, diagnosis.column_name, reason, content[:KEPT])


def _columns(alias: str, names: "list[str] | tuple[str, ...]") -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(alias, name) for name in names)


def _listed(names: "list[str] | tuple[str, ...]") -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, names))
