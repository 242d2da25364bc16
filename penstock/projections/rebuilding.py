"""Rebuild a read model from position 0 while it is read and appends go on.

A second copy is filled in a schema of its own, in large steps, without write-ahead log, and on two connections where
the projection's statements are independent. When it has caught up, one
transaction holds the checkpoint, folds the last events into the copy and gives the live tables what differs.

The tables themselves stay. Were they exchanged by renaming, every view, grant, policy, trigger and publication would
stay with the old one, a long query would block the exchange and all queries behind it, and a reader whose snapshot
is older would find an empty table. So readers never wait, see the rows of before or all of the new ones, and what
did not change is not written.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from psycopg import sql

from penstock.errors import RebuildInProgress
from penstock.event_store import high_water_mark, lock_checkpoint, move_checkpoint
from penstock.postgres.pool import Connection, transaction
from penstock.postgres.public_schema import place_of
from penstock.projections.folding import Unreadable, fold_range, prepare
from penstock.projections.projection import Projection, PythonProjection, find_projection
from penstock.projections.runner import BATCH_SIZE
from penstock.settings import Settings

LARGE_BATCH_SIZE: Final = 200_000
MOST_LANES: Final = 2
_WORK_MEM: Final = "128MB"

_TRY_LOCK = "select pg_try_advisory_xact_lock(hashtext('penstock rebuild'), hashtext(%s))"
_RESOLVE = """
select penstock.resolve_dead_letters(array_agg(l.id), 'retried') from ops.dead_letters as l
where l.kind = 'event' and l.source = %s and l.resolved_at is null and l.reference <> all (%s::text[])
"""
_COLUMNS = """
select a.attname, coalesce(a.attnum = any(k.conkey), false)
from pg_catalog.pg_attribute as a
left join pg_catalog.pg_constraint as k on k.conrelid = a.attrelid and k.contype = 'p'
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum
"""
_DELETE = sql.SQL("""
delete from {live} as l
where not exists (
  select from {copy} as c where ({their_key}) = ({my_key}) and ({theirs}) is not distinct from ({mine})
)
""")
_INSERT = sql.SQL("""
insert into {live} ({columns})
select {theirs} from {copy} as c
where not exists (select from {live} as l where ({my_key}) = ({their_key}))
""")
_DROP_INDEXES = sql.SQL("""
do $$
declare
  index regclass;
begin
  for index in
    select i.indexrelid from pg_catalog.pg_index as i
    inner join pg_catalog.pg_class as c on c.oid = i.indrelid
    where c.relnamespace = {schema}::regnamespace and not i.indisunique
  loop
    execute format('drop index %s', index);
  end loop;
end $$
""")


@dataclass(frozen=True)
class Rebuilt:
    """`events` were folded, of which `parked` could not be read; `deleted` and `inserted` rows differed before."""

    position: int
    events: int
    parked: int
    deleted: int
    inserted: int


def rebuild(settings: Settings, name: str) -> Rebuilt:
    """Fill the read models of a projection again from the whole store, and put them in place in one transaction.

    Open dead letters of the projection whose events can be read now are resolved by it. Raises `RebuildInProgress`
    if the same projection is being rebuilt. A rebuild that is killed leaves the live tables as they were.
    """
    projection = find_projection(name)
    with _alone(settings, name):
        copy = _Copy(settings, projection)
        copy.create()
        copy.fill()
        return copy.cut_over()


@contextmanager
def _alone(settings: Settings, name: str) -> Iterator[None]:
    """Hold a lock on a connection of its own: however the rebuild ends, the lock goes with it."""
    with transaction(settings) as lock:
        lock.execute("set local idle_in_transaction_session_timeout = 0")
        row = lock.execute(_TRY_LOCK, (name,)).fetchone()
        if row != (True,):
            raise RebuildInProgress(f"{name} is being rebuilt already", projection=name)
        yield


class _Copy:
    """The second copy: how far it is, and what it met on the way."""

    def __init__(self, settings: Settings, projection: Projection) -> None:
        self.settings = settings
        self.projection = projection
        self.schema = f"rebuild_{projection.name}"
        self.largest_batch_size = BATCH_SIZE if isinstance(projection, PythonProjection) else LARGE_BATCH_SIZE
        self.batch_size = self.largest_batch_size
        self.lanes = _lanes(projection)
        self.position = 0
        self.events = 0
        self.parked: list[int] = []

    def create(self) -> None:
        """Empty tables like the live ones, without the indexes that only readers need."""
        with transaction(self.settings) as connection:
            self._drop(connection)
            connection.execute(sql.SQL("create schema {}").format(sql.Identifier(self.schema)))
            for table in self.projection.tables:
                live, copy = self._tables(table)
                connection.execute(sql.SQL("create unlogged table {} (like {} including all)").format(copy, live))
            connection.execute(_DROP_INDEXES.format(schema=sql.Literal(self.schema)))

    def fill(self) -> None:
        """Fold everything that is safe to read, a large range at a time, each in a transaction on each connection.

        They need not commit as one: a copy that a crash cut in two is thrown away whole.
        """
        caught_up = False
        while not caught_up:
            with ExitStack() as transactions:
                lanes = [transactions.enter_context(transaction(self.settings)) for _ in range(self.lanes)]
                safe = high_water_mark(lanes[0])
                self._fold_next(lanes, safe)
            caught_up = self.position >= safe

    def cut_over(self) -> Rebuilt:
        """One transaction: stop the live projection, catch up with it, give its tables what differs."""
        with transaction(self.settings) as connection:
            connection.execute("set local statement_timeout = 0")
            live = lock_checkpoint(connection, self.projection.name)
            while self.position < live:
                self._fold_next([connection], live)
            move_checkpoint(connection, self.projection.name, self.position)
            prepare(connection, self.projection, work_mem=_WORK_MEM)
            connection.execute("select set_config('penstock.rebuilding', 'on', true)")
            deleted, inserted = map(sum, zip(*self._merge_all(connection), strict=True))
            connection.execute(_RESOLVE, (self.projection.name, [str(position) for position in self.parked]))
            self._drop(connection)
        return Rebuilt(self.position, self.events, len(self.parked), deleted, inserted)

    def _fold_next(self, lanes: Sequence[Connection], limit: int) -> None:
        upto = min(limit, self.position + self.batch_size)
        for lane in lanes:
            prepare(lane, self.projection, copy=self.schema, work_mem=_WORK_MEM)
        try:
            folded = fold_range(lanes[0], self.projection, self.position, upto, beside=lanes[1:])
        except Unreadable:
            self.batch_size = max(1, self.batch_size // 2)
            return
        self.position = max(self.position, upto)
        self.batch_size = min(self.largest_batch_size, self.batch_size * 2)
        self.events += folded.events
        self.parked += [folded.parked] if folded.parked is not None else []

    def _merge_all(self, connection: Connection) -> list[tuple[int, int]]:
        return [self._merge(connection, table) for table in self.projection.tables]

    def _merge(self, connection: Connection, table: str) -> tuple[int, int]:
        live, copy = self._tables(table)
        connection.execute(sql.SQL("analyze {}").format(copy))
        columns = connection.execute(_COLUMNS, (live.as_string(connection),)).fetchall()
        names = {
            "live": live,
            "copy": copy,
            "columns": _listed(name for name, _ in columns),
            "mine": _listed((name for name, _ in columns), "l"),
            "theirs": _listed((name for name, _ in columns), "c"),
            "my_key": _listed((name for name, in_key in columns if in_key), "l"),
            "their_key": _listed((name for name, in_key in columns if in_key), "c"),
        }
        deleted = connection.execute(_DELETE.format(**names)).rowcount
        return deleted, connection.execute(_INSERT.format(**names)).rowcount

    def _tables(self, table: str) -> tuple[sql.Identifier, sql.Identifier]:
        """The live one and its copy."""
        schema, name = place_of(table)
        return sql.Identifier(schema, name), sql.Identifier(self.schema, name)

    def _drop(self, connection: Connection) -> None:
        connection.execute("set local client_min_messages = warning")
        connection.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(self.schema)))


def _lanes(projection: Projection) -> int:
    if isinstance(projection, PythonProjection) or not projection.independent:
        return 1
    return min(MOST_LANES, len(projection.statements))


def _listed(columns: Iterable[str], alias: str | None = None) -> sql.Composable:
    return sql.SQL(", ").join(sql.Identifier(*([alias] if alias else []), column) for column in columns)
