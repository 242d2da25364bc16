import threading
import time

import pytest

from penstock.event_store.waker import Waker


class Work:
    """Counts its turns; each waits for `gate` if there is one."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.gate = gate
        self.began: list[float] = []
        self.running = 0
        self.most_at_once = 0
        self.first = threading.Event()

    def __call__(self) -> None:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        self.began.append(time.monotonic())
        self.first.set()
        if self.gate:
            assert self.gate.wait(5)
        self.running -= 1


def wait_until(condition: "threading.Event | object", seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def test_many_wakes_during_a_turn_lead_to_one_more() -> None:
    gate = threading.Event()
    work = Work(gate)
    waker = Waker(work, lambda: 0.0)
    waker.wake()
    assert work.first.wait(5)
    for _ in range(100):
        waker.wake()
    gate.set()
    wait_until(lambda: len(work.began) == 2 and not waker._running)
    assert work.most_at_once == 1


def test_a_wake_after_the_last_turn_starts_another() -> None:
    work = Work()
    waker = Waker(work, lambda: 0.0)
    for turn in range(1, 21):
        waker.wake()
        wait_until(lambda turn=turn: len(work.began) >= turn and not waker._running)
    assert len(work.began) == 20


def test_turns_keep_the_interval_however_many_wakes_there_are() -> None:
    work = Work()
    waker = Waker(work, lambda: 0.1)
    end = time.monotonic() + 0.55
    while time.monotonic() < end:
        waker.wake()
        time.sleep(0.002)
    wait_until(lambda: not waker._running)
    assert 5 <= len(work.began) <= 8
    gaps = [after - before for before, after in zip(work.began, work.began[1:], strict=False)]
    assert min(gaps) >= 0.095


def test_no_wake_is_lost_between_racing_threads() -> None:
    """After each wake some turn must begin: one that began before it may not have seen what it was about."""
    seen = 0
    written = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal seen
        seen = written

    def write() -> None:
        nonlocal written
        for _ in range(300):
            with lock:
                written += 1
            waker.wake()

    waker = Waker(work, lambda: 0.0)
    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not waker._running)
    assert seen == 8 * 300


def test_a_failed_turn_is_logged_and_does_not_stop_the_next(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[int] = []

    def work() -> None:
        turns.append(len(turns))
        if len(turns) == 1:
            raise RuntimeError("no network")

    waker = Waker(work, lambda: 0.0)
    waker.run_now()
    waker.run_now()
    assert turns == [0, 1]
    assert "the relay failed" in caplog.text


def test_run_now_leaves_the_work_to_the_thread_that_is_at_it() -> None:
    gate = threading.Event()
    work = Work(gate)
    waker = Waker(work, lambda: 0.0)
    waker.wake()
    assert work.first.wait(5)
    began = time.monotonic()
    waker.run_now()
    assert time.monotonic() - began < 1
    gate.set()
    wait_until(lambda: len(work.began) == 2 and not waker._running)


def test_run_now_begins_no_turn_after_its_time_and_leaves_the_wish_to_the_next() -> None:
    turns: list[float] = []

    def work() -> None:
        turns.append(time.monotonic())
        waker._wanted = len(turns) < 50
        time.sleep(0.03)

    waker = Waker(work, lambda: 0.0)
    waker.run_now(seconds=0.1)
    assert 2 <= len(turns) <= 5
    assert waker._wanted
    assert not waker._running
