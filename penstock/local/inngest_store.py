"""What the local Inngest stand-in remembers: one SQLite file, opened by one process, used by one thread.

What a transaction (`with store.db:`) has committed survives `kill -9`. The table `steps` is also the queue: a row
with `due` and without `memo` is work that waits. The row named `step`, Inngest's own name for it, is the call that
discovers what comes next; the others are planned steps and timers. A cron is such a row without a run.
"""

import os
import random
import sqlite3
from pathlib import Path

DAY = 86_400.0
KEEP_BYTES = 256 * 1024 * 1024
SCHEMA = """
create table if not exists apps (app_id text primary key, url text not null, functions text not null);
create table if not exists events (id text primary key, event_id text, name text, body text, received real);
create index if not exists events_by_event_id on events (event_id);
create index if not exists events_by_time on events (received);
create table if not exists runs (id text primary key, function_id text, status text, batch_key text,
  parent_run text, parent_step text, event text, created real, ended real, output text);
create index if not exists runs_by_end on runs (ended);
create index if not exists runs_open_batches on runs (function_id, batch_key) where status = 'Batching';
create table if not exists run_events (run_id text, seq integer, event text, primary key (run_id, seq)) without rowid;
create index if not exists run_events_by_event on run_events (event);
create table if not exists steps (run_id text, step_id text, op text, name text, opts text, attempt integer default 0,
  due real, memo text, done real, error text, primary key (run_id, step_id)) without rowid;
create index if not exists steps_due on steps (due) where memo is null;
create index if not exists steps_waiting on steps (name) where op = 'WaitForEvent' and memo is null;
create table if not exists seen (key text primary key, at real) without rowid;
create index if not exists seen_by_time on seen (at);
"""
LAST_RUNS = """
select id, function_id, status, datetime(created, 'unixepoch') as began, round(ended - created, 3) as seconds,
  (select group_concat(name || iif(memo is null, ' attempt ' || (attempt + 1), ' done') || ifnull(' ' || error, ''),
   ', ') from steps where run_id = r.id and (step_id <> 'step' or due is not null)) as steps, output
from runs r order by rowid desc limit 50"""


def ulid(now: float, entropy: bytes = b"") -> str:
    """Return a ULID; the same time and the same ten bytes of entropy give the same one."""
    value = int(now * 1000) << 80 | int.from_bytes(entropy[:10] or os.urandom(10), "big")
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[value >> shift & 31] for shift in range(125, -1, -5))


class Store:
    """The open file. A second server on the same file fails with `database is locked`."""

    def __init__(self, path: str | Path) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, timeout=2, check_same_thread=False)
        self.db.row_factory = sqlite3.Row
        for pragma in (
            "auto_vacuum = incremental",
            "locking_mode = exclusive",
            "journal_mode = wal",
            "synchronous = 1",
        ):
            self.db.execute(f"pragma {pragma}")
        self.db.executescript(SCHEMA)

    def rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        return self.db.execute(sql, values).fetchall()

    def write(self, sql: str, *values: object) -> bool:
        """Run one statement of the open transaction; gives whether it changed a row."""
        return self.db.execute(sql, values).rowcount > 0

    def add_event(self, internal_id: str, event_id: str, name: str, body: str, now: float) -> None:
        """Store an event; one that came before, under a seed that comes again, stays as it is."""
        self.write("insert or ignore into events values (?, ?, ?, ?, ?)", internal_id, event_id, name, body, now)

    def join_run(
        self, function_id: str, key: str, event: str, now: float, due: float, *parent: str, batch: bool = False
    ) -> tuple[str, int]:
        """Begin a run, or join the batch that is open under the key: (run id, its size).

        Events get a place in their batch by chance, as on the real server.
        """
        run_id, size = ulid(now), 0
        sql = "select id from runs where function_id = ? and batch_key = ? and status = 'Batching' and ?"
        for run in self.rows(sql, function_id, key, batch):
            run_id, size = run["id"], len(self.rows("select 1 from run_events where run_id = ?", run["id"]))
        if not size:
            values = (
                run_id,
                function_id,
                "Batching" if batch else "Running",
                key,
                *(parent or (None, None)),
                event,
                now,
            )
            self.write("insert into runs values (?, ?, ?, ?, ?, ?, ?, ?, null, null)", *values)
            self.plan(run_id, "step", "Discover", "function", "{}", due)
        self.write("insert into run_events values (?, ?, ?)", run_id, random.getrandbits(62), event)
        return run_id, size + 1

    def plan(self, run_id: str, step_id: str, op: str, name: str, opts: str, due: float) -> bool:
        sql = "insert or ignore into steps (run_id, step_id, op, name, opts, due) values (?, ?, ?, ?, ?, ?)"
        return self.write(sql, run_id, step_id, op, name, opts, due)

    def reschedule(self, run_id: str, step_id: str, due: float, attempt: int = 0, error: str | None = None) -> None:
        sql = "update steps set due = ?, attempt = ?, error = ? where run_id = ? and step_id = ?"
        self.write(sql, due, attempt, error, run_id, step_id)

    def clear(self, job: sqlite3.Row) -> None:
        """Take a call off the queue, unless someone has asked for it again since it was read."""
        sql = "update steps set due = null, attempt = 0, error = null where run_id = ? and step_id = ? and due = ?"
        self.write(sql, job["run_id"], job["step_id"], job["due"])

    def memoize(self, run_id: str, step_id: str, op: str, name: str, memo: str, now: float) -> bool:
        """Keep a step's result, the first for good; True if the run can go on: no sibling is pending, or they race."""
        sql = """insert into steps (run_id, step_id, op, name, opts, memo, done)
                 select id, ?, ?, ?, '{}', ?, ? from runs where id = ? and ended is null
                 on conflict (run_id, step_id) do update
                 set memo = excluded.memo, done = excluded.done, due = null where memo is null"""
        race = 'select opts from steps where run_id = ? and step_id = ? and opts like \'%"parallelMode": "race"%\''
        kept = self.write(sql, step_id, op, name, memo, now, run_id)
        return kept and (not self.pending(run_id) or bool(self.rows(race, run_id, step_id)))

    def pending(self, run_id: str) -> int:
        return len(self.rows("select 1 from steps where run_id = ? and step_id <> 'step' and memo is null", run_id))

    def queued(self, run_id: str, step_id: str) -> sqlite3.Row | None:
        """The work behind a queue entry; None when it is done or its run has ended."""
        sql = """select s.*, r.function_id, r.status from steps s left join runs r on r.id = s.run_id
                 where s.run_id = ? and step_id = ? and memo is null and due is not null and ended is null"""
        return next(iter(self.rows(sql, run_id, step_id)), None)

    def memos(self, run_id: str) -> dict[str, str]:
        sql = "select step_id, memo from steps where run_id = ? and memo is not null order by done, step_id"
        return {row[0]: row[1] for row in self.rows(sql, run_id)}

    def events(self, run_id: str) -> list[str]:
        sql = "select body from run_events r join events e on e.id = r.event where run_id = ? order by seq"
        return [row[0] for row in self.rows(sql, run_id)]

    def end_run(self, run_id: str, status: str, output: str, now: float) -> sqlite3.Row:
        self.write("update runs set status = ?, output = ?, ended = ? where id = ?", status, output, now, run_id)
        self.write("delete from steps where run_id = ? and memo is null", run_id)
        return self.rows("select * from runs where id = ?", run_id)[0]

    def purge(self, now: float) -> bool:
        """Drop one portion of what ended a day ago, sooner while the file is too large. True: call again."""
        pages, free, size = (self.rows(f"pragma {p}")[0][0] for p in ("page_count", "freelist_count", "page_size"))
        before = now if (pages - free) * size > KEEP_BYTES else now - DAY
        with self.db:
            ended = [(row[0],) for row in self.rows("select id from runs where ended < ? limit 500", before)]
            for column in ("steps where run_id", "run_events where run_id", "runs where id"):
                self.db.executemany(f"delete from {column} = ?", ended)  # noqa: S608 - the three names above
            sql = """delete from events where id in (select id from events e where received < ? and not exists
                     (select 1 from run_events where event = e.id) order by received limit 2000)"""
            more = self.write(sql, before) or bool(ended)
            self.write("delete from seen where at < ?", now - DAY)
        self.db.execute("pragma incremental_vacuum(2000)").fetchall()
        return more
