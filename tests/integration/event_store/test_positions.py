"""A sequence that was set back (a failover by logical replication, a restore, a hand) reuses no position."""

import threading

import psycopg
import pytest

from penstock import errors
from penstock.event_store import append, append_bulk, high_water_mark, lock_checkpoint, move_checkpoint, read_events
from penstock.postgres import pool, sqlstates
from penstock.postgres.pool import Connection
from tests.integration.event_store.racing import made, together, wait_until
from tests.integration.event_store.ways import WAYS, Append

SET_BACK = "select setval('public.event_store_position_seq', %s)"


def leave_a_gap(connection: Connection) -> None:
    """Positions 1 to 3 and 7 are stored; 4 to 6 were drawn and rolled back."""
    append(connection, "thing", "a", "any", made(3))
    with connection.transaction(force_rollback=True):
        append(connection, "thing", "a", "any", made(3))
    append(connection, "thing", "a", "any", made())


@pytest.mark.parametrize("reached", [1, 3, 5, 6], ids=lambda n: f"at {n}")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_nothing_is_appended_at_or_below_what_is_stored(connection: Connection, way: Append, reached: int) -> None:
    leave_a_gap(connection)
    connection.execute(SET_BACK, (reached,))
    for _ in range(3):
        with pytest.raises(errors.PositionsBehind) as refused, sqlstates.translate_errors():
            way(connection, [("thing", "b"), ("thing", "c")])
        assert refused.value.details == {"sequence": reached, "stored": 7}
    assert [event.position for event in read_events(connection)] == [n for n in (1, 2, 3, 7) if n <= reached]
    assert connection.execute("select count(*) from penstock.streams").fetchone() == (1,)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
def test_a_sequence_that_starts_from_nothing_is_behind_too(connection: Connection, way: Append) -> None:
    """What a failover by logical replication leaves: it copies no sequences."""
    leave_a_gap(connection)
    connection.execute("alter sequence public.event_store_position_seq restart")
    with pytest.raises(psycopg.Error) as refused:
        way(connection, [("thing", "b")])
    assert refused.value.sqlstate == "PK008"


def test_it_is_refused_later_in_a_transaction_too(connection: Connection) -> None:
    with connection.transaction(force_rollback=True):
        append(connection, "thing", "a", "any", made(5))
        connection.execute(SET_BACK, (2,))
        with pytest.raises(errors.PositionsBehind), connection.transaction():
            append(connection, "thing", "a", "any", made())
        with pytest.raises(errors.PositionsBehind):
            append_bulk(connection, [("thing", "b", "any", made())])


def test_raised_positions_pass_all_that_was_stored_or_read(connection: Connection) -> None:
    """A checkpoint may be above what is stored: it passes positions that were rolled back."""
    leave_a_gap(connection)
    with connection.transaction():
        lock_checkpoint(connection, "mine")
        move_checkpoint(connection, "mine", 20)
    connection.execute(SET_BACK, (2,))
    assert connection.execute("select ops.raise_positions()").fetchone() == (20,)
    assert append(connection, "thing", "a", 4, made()).position == 21
    assert high_water_mark(connection) == 21
    assert connection.execute("select ops.raise_positions(40)").fetchone() == (40,)
    assert connection.execute("select ops.raise_positions(7)").fetchone() == (40,)
    assert append(connection, "thing", "a", 5, made()).position == 41


def test_an_empty_store_has_nothing_to_raise(connection: Connection) -> None:
    assert connection.execute("select ops.raise_positions()").fetchone() == (0,)
    assert append(connection, "thing", "a", "no_stream", made()).position == 1


def test_raising_waits_for_appends_in_flight(database_url: str, connection: Connection) -> None:
    with psycopg.connect(database_url) as slow:
        slow.execute("select public.append_event('thing', 'a', 0, gen_random_uuid(), 'Made', '{}')")
        raised: list[object] = []
        call = "select ops.raise_positions()"
        thread = threading.Thread(target=lambda: raised.append(connection.execute(call).fetchone()))
        thread.start()
        with psycopg.connect(database_url, autocommit=True) as watcher:
            blocked = "select exists (select from pg_locks where not granted)"
            wait_until(lambda: watcher.execute(blocked).fetchone() == (True,), 60)
        slow.commit()
        thread.join()
    assert raised == [(1,)]


def test_racing_appends_are_never_taken_for_a_sequence_set_back(database_url: str) -> None:
    """Each sees others' higher positions commit between its floor and its own position."""

    def hurry(number: int) -> None:
        with pool.connect(database_url) as own:
            for n in range(150):
                append(own, "thing", f"{number}-{n % 9}", "any", made(1 + n % 3))
                if n % 10 == 0:
                    append_bulk(own, [("thing", f"{number}-bulk", "any", made(5))])

    together([lambda number=number: hurry(number) for number in range(8)])  # type: ignore[misc]


def test_the_look_above_the_sequence_reads_no_whole_table(database_url: str, connection: Connection) -> None:
    """Counted in rows: the planner's first choice for such a question is a scan of the table, for each append."""
    append_bulk(connection, [("thing", f"large-{n}", "any", made(100)) for n in range(50)])
    with pool.connect(database_url) as own:
        for _ in range(20):
            append(own, "thing", "a", "any", made())
            append(own, "thing", "a", "any", made(2))
        own.execute("select pg_stat_force_next_flush()")
    read = "select seq_tup_read from pg_stat_user_tables where relid = 'public.event_store'::regclass"
    row = connection.execute(read).fetchone()
    assert row is not None
    assert row[0] < 5000
