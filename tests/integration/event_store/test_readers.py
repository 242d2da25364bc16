"""No reader skips an event, and none stalls behind work that is no append."""

import threading
import time
from collections.abc import Callable

import psycopg
import pytest

from penstock import errors
from penstock.event_store import append, high_water_mark, read_events
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from tests.integration.event_store.racing import (
    NaiveReader,
    Reader,
    Writer,
    account,
    made,
    open_write_transaction,
    race,
    wait_until,
)

EVENTS = 30_000
WRITERS = 8


def test_no_reader_skips_an_event_and_the_race_would_show_it(database_url: str) -> None:
    writers = [Writer(database_url, f"w{number}", EVENTS // WRITERS) for number in range(WRITERS)]
    ours, naive = Reader(database_url), NaiveReader(database_url)
    race(writers, [ours, naive])
    result = account(writers, ours)
    assert result.events >= EVENTS
    assert (result.lost, result.twice, result.strange, result.in_order) == (0, 0, 0, True)
    assert account(writers, naive).lost > 0


def test_versions_have_no_gaps_after_the_race(database_url: str, connection: Connection) -> None:
    writers = [Writer(database_url, f"w{number % 2}", 500, pause=0.001) for number in range(WRITERS)]
    race(writers, [Reader(database_url)])
    row = connection.execute(
        "select bool_and(s.version = e.number and e.first = 1 and e.last = e.number), count(*)"
        " from penstock.streams as s left join (select aggregate_id, aggregate_type, count(*) as number,"
        " min(version) as first, max(version) as last from public.event_store group by 1, 2) as e"
        " using (aggregate_id, aggregate_type)"
    ).fetchone()
    assert row is not None
    assert row[0] is True
    assert row[1] > 50


def test_a_reader_waits_for_an_append_in_flight_and_then_sees_it_first(
    database_url: str, connection: Connection
) -> None:
    with pool.connect(database_url) as slow:
        with slow.transaction():
            early = append(slow, "thing", "slow", "any", made()).position
            late = append(connection, "thing", "quick", "any", made()).position
            assert early < late
            assert read_events(connection) == []
            assert high_water_mark(connection) < early
        assert [e.position for e in read_events(connection)] == [early, late]


def test_a_rolled_back_append_lets_readers_go_on(database_url: str, connection: Connection) -> None:
    with pool.connect(database_url) as slow:
        with slow.transaction(force_rollback=True):
            append(slow, "thing", "slow", "any", made())
            position = append(connection, "thing", "quick", "any", made()).position
            assert read_events(connection) == []
        assert [e.position for e in read_events(connection)] == [position]


def test_a_rolled_back_savepoint_takes_the_floor_and_the_next_append_publishes_again(
    database_url: str, connection: Connection
) -> None:
    with pool.connect(database_url) as slow, slow.transaction():
        with slow.transaction(force_rollback=True):
            append(slow, "thing", "slow", "any", made())
        position = append(connection, "thing", "quick", "any", made()).position
        assert [e.position for e in read_events(connection)] == [position]
        append(slow, "thing", "slow", "any", made())
        append(connection, "thing", "quick", "any", made())
        assert [e.position for e in read_events(connection)] == [position]


def test_a_setting_left_in_the_session_does_not_silence_the_floor(database_url: str, connection: Connection) -> None:
    with pool.connect(database_url) as slow:
        for left in ("1", "true", "7"):
            slow.execute(f"set penstock.floor_published = '{left}'".encode())
            before = len(read_events(connection))
            with slow.transaction():
                append(slow, "thing", "slow", "any", made())
                append(connection, "thing", "quick", "any", made())
                assert len(read_events(connection)) == before


def test_a_prepared_transaction_holds_its_floor(database_url: str, connection: Connection) -> None:
    if connection.execute("show max_prepared_transactions").fetchone() == ("0",):
        pytest.skip("this server takes no prepared transactions")
    with pool.connect(database_url) as slow:
        slow.execute("begin")
        append(slow, "thing", "slow", "any", made())
        slow.execute("prepare transaction 'slow'")
        append(connection, "thing", "quick", "any", made())
        assert read_events(connection) == []
        slow.execute("commit prepared 'slow'")
    assert len(read_events(connection)) == 2


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_a_fixed_snapshot_is_refused(connection: Connection, level: str) -> None:
    with connection.transaction():
        connection.execute(f"set transaction isolation level {level}".encode())
        with pytest.raises(errors.InvalidInput, match="read committed"):
            high_water_mark(connection)


def follow_for(database_url: str, seconds: float) -> list[float]:
    """Append once in a while and return how long a reader took to see each event after its commit."""
    lags = []
    with pool.connect(database_url) as writer, pool.connect(database_url) as reader:
        checkpoint = high_water_mark(reader)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            position = append(writer, "thing", "followed", "any", made()).position

            def seen(position: int = position, checkpoint: int = checkpoint) -> bool:
                return position in [e.position for e in read_events(reader, after=checkpoint)]

            lags.append(wait_until(seen))
            checkpoint = position
            time.sleep(0.005)
    return lags


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def while_unrelated_write_stays_open(database_url: str, seconds: float) -> list[float]:
    unrelated = open_write_transaction(database_url)
    lags = follow_for(database_url, seconds)
    assert unrelated.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    unrelated.rollback()
    unrelated.close()
    return lags


def while_a_view_refreshes(database_url: str, seconds: float) -> list[float]:
    slow_view = (
        "create materialized view public.slow_view as select n from generate_series(1, 5) as n"
        f" where pg_sleep({seconds / 5}) is not null with no data"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(slow_view.encode())
        refresh = threading.Thread(target=connection.execute, args=("refresh materialized view public.slow_view",))
        refresh.start()
        lags = follow_for(database_url, seconds * 0.8)
        assert refresh.is_alive()
        refresh.join()
    return lags


@pytest.mark.parametrize("meanwhile", [while_unrelated_write_stays_open, while_a_view_refreshes])
def test_unrelated_work_does_not_stall_a_reader(
    database_url: str, meanwhile: Callable[[str, float], list[float]]
) -> None:
    lags = meanwhile(database_url, 2)
    assert len(lags) > 20
    # an old rule (below the oldest running transaction) would wait for the two seconds to end
    assert percentile(lags, 0.99) < 0.5


@pytest.mark.real
def test_a_write_transaction_open_for_a_minute_costs_readers_less_than_a_tenth_of_a_second(database_url: str) -> None:
    lags = while_unrelated_write_stays_open(database_url, 60)
    assert len(lags) > 500
    assert percentile(lags, 0.99) < 0.1
