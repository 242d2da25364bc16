"""The records of joined files, staged for being looked up: `staging.import_<id>_join_<n>`, one table for each file.

Each has the records by their key, with the cells of the columns that are taken; `used` are those that a line of the
main file had. Unlogged: a crash of the server empties them, and the import starts over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from penstock.errors import InvalidInput
from penstock.ingest.files.parse.computed import CutRecord
from penstock.ingest.files.parse.joins import Join, key_of, shown_key
from penstock.postgres.pool import Connection

_CREATE: LiteralString = """
create unlogged table {} (
  key text collate "C" not null, line bigint not null, cells text[] not null, used boolean not null default false)
"""
_DIFFERING: LiteralString = """
select key, min(line), max(line) from {} group by key having min(cells) <> max(cells) order by 2 limit 1
"""
_KEEP_ONE: LiteralString = """
delete from {table} as j using (select key, {one}(line) as line from {table} group by key having count(*) > 1) as k
where j.key = k.key and j.line <> k.line
"""


class JoinTables:
    """To `drop` them their number is enough: `joins` may then be the entries of the option."""

    def __init__(self, import_id: UUID, joins: Sequence[Any]) -> None:
        self._base = f"import_{import_id.hex}_join"
        self._joins: Sequence[Join] = joins

    def fill(self, connection: Connection, place: int, records: Iterable[CutRecord]) -> Join:
        """Stage the records of a file and give the join with their counts.

        Raises `InvalidInput` for a key with several records that differ, unless `repeated` says which one counts.
        """
        join, table = self._joins[place], self._table(place)
        connection.execute(sql.SQL("drop table if exists {}").format(table))
        connection.execute(sql.SQL(_CREATE).format(table))
        read, broken, first_broken = 0, 0, None
        copy_sql = sql.SQL("copy {} (key, line, cells) from stdin").format(table)
        with connection.cursor() as cursor, cursor.copy(copy_sql) as copy:
            copy.set_types(["text", "int8", "text[]"])
            for record in records:
                cells, fault = _read(join, record)
                if cells:
                    copy.write_row((cells[0], record.suspect.line, cells[1]))
                    read += 1
                else:
                    broken += 1
                    first_broken = first_broken or f"line {record.suspect.line} {fault}"
        repeats = self._keep_one_of_each(connection, join, table)
        connection.execute(sql.SQL("alter table {} add primary key (key)").format(table))
        connection.execute(sql.SQL("analyze {}").format(table))
        return replace(join, records=read - repeats, repeats=repeats, broken=broken, first_broken=first_broken)

    def _keep_one_of_each(self, connection: Connection, join: Join, table: sql.Identifier) -> int:
        if join.repeated is None:
            found = connection.execute(sql.SQL(_DIFFERING).format(table)).fetchone()
            if found:
                named = " and ".join(join.on.values())
                raise InvalidInput(
                    f"{join.file} has {named} {shown_key(found[0])} in lines {found[1]} and {found[2]}, which differ:"
                    ' "repeated" says whether the first or the last counts',
                    field="join",
                )
        one = sql.SQL("max" if join.repeated == "last" else "min")
        return connection.execute(sql.SQL(_KEEP_ONE).format(table=table, one=one)).rowcount

    def find(self, connection: Connection, place: int, keys: Sequence[str]) -> Mapping[str, Sequence[str | None]]:
        """The cells of the records with these keys."""
        if not keys:
            return {}
        query = sql.SQL('select key, cells from {} where key = any(%s::text[] collate "C")').format(self._table(place))
        return dict(connection.execute(query, (list(keys),)).fetchall())

    def mark(self, connection: Connection, matched: Mapping[int, Iterable[str]]) -> None:
        """Note which records lines have had."""
        for place, keys in sorted(matched.items()):
            query = 'update {} set used = true where key = any(%s::text[] collate "C") and not used'
            connection.execute(sql.SQL(query).format(self._table(place)), (sorted(keys),))

    def counts(self, connection: Connection) -> list[dict[str, Any]]:
        """Of each file: `read` = `used` + `unused` + `repeated` + `rejected`."""
        found = []
        for place, join in enumerate(self._joins):
            query = sql.SQL("select count(*) filter (where used) from {}").format(self._table(place))
            row = connection.execute(query).fetchone()
            assert row is not None
            found.append(
                {
                    "file": join.file,
                    "read": join.records + join.repeats + join.broken,
                    "used": row[0],
                    "unused": join.records - row[0],
                    "repeated": join.repeats,
                    "rejected": join.broken,
                }
            )
        return found

    def is_lost(self, connection: Connection) -> bool:
        """Whether a crash of the server has emptied one."""
        for place, join in enumerate(self._joins):
            found = connection.execute("select to_regclass(%s)", (f"staging.{self._base}_{place}",)).fetchone()
            if found is None or found[0] is None:
                return True
            row = connection.execute(sql.SQL("select exists (select from {})").format(self._table(place))).fetchone()
            if join.records and not (row and row[0]):
                return True
        return False

    def drop(self, connection: Connection) -> None:
        for place in range(len(self._joins)):
            connection.execute(sql.SQL("drop table if exists {}").format(self._table(place)))

    def _table(self, place: int) -> sql.Identifier:
        return sql.Identifier("staging", f"{self._base}_{place}")


def join_warnings(joins: Sequence[Join], counts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What of the joined files came to nothing."""
    unused = [
        f"{count['file']}: {count['unused']:,} of {count['read']:,} records belong to no line of the file"
        for count in counts
        if count["unused"]
    ]
    return [*broken_warnings(joins), *unused]


def broken_warnings(joins: Sequence[Join]) -> list[str]:
    return [
        f"{join.file}: {join.broken:,} records could not be read; the first: {join.first_broken}"
        for join in joins
        if join.broken
    ]


def _read(join: Join, record: CutRecord) -> tuple[tuple[str, list[str | None]] | None, str]:
    """The record's key and cells, or None and why not."""
    if record.row is None:
        return None, str(record.fault)
    named = list(join.on.values())
    key = key_of([record.row.text(name) for name in named])
    if key is None:
        return None, f"has no {' and '.join(named)}"
    return (key, [record.row.text(name) for name in join.taken]), ""
