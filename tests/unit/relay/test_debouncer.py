import itertools
import threading
import time
from collections.abc import Callable

import pytest

from penstock.errors import Unavailable
from penstock.relay.debouncer import Debouncer
from tests.waiting import PATIENCE_SECONDS


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
            assert self.gate.wait(PATIENCE_SECONDS)
        self.running -= 1


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def test_many_wakes_during_a_turn_lead_to_one_more() -> None:
    gate = threading.Event()
    work = Work(gate)
    waker = Debouncer(work, lambda: 0.0)
    waker.notify()
    assert work.first.wait(PATIENCE_SECONDS)
    for _ in range(100):
        waker.notify()
    gate.set()
    wait_until(lambda: len(work.began) == 2 and not waker._running)
    assert work.most_at_once == 1


def test_a_wake_after_the_last_turn_starts_another() -> None:
    work = Work()
    waker = Debouncer(work, lambda: 0.0)
    for turn in range(1, 21):
        waker.notify()
        wait_until(lambda turn=turn: len(work.began) >= turn and not waker._running)
    assert len(work.began) == 20


def test_turns_keep_the_interval_however_many_wakes_there_are() -> None:
    work = Work()
    waker = Debouncer(work, lambda: 0.1)
    wakes = itertools.count()

    def five_turns() -> bool:
        waker.notify()
        next(wakes)
        return len(work.began) >= 5

    wait_until(five_turns)
    wait_until(lambda: not waker._running)
    assert next(wakes) > len(work.began)
    gaps = [after - before for before, after in itertools.pairwise(work.began)]
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
            waker.notify()

    waker = Debouncer(work, lambda: 0.0)
    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not waker._running)
    assert seen == 8 * 300


def failing(times: int, error: Exception, turns: list[float]) -> Callable[[], None]:
    def work() -> None:
        turns.append(time.monotonic())
        if len(turns) <= times:
            raise error

    return work


def test_a_failed_turn_is_made_again_after_a_growing_pause(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.relay.debouncer.FIRST_PAUSE", 0.05)
    turns: list[float] = []
    waker = Debouncer(failing(3, Unavailable("Inngest cannot be reached"), turns), lambda: 0.0)
    waker.notify()
    wait_until(lambda: len(turns) == 4 and not waker._running)
    gaps = [after - before for before, after in itertools.pairwise(turns)]
    assert [gap >= least for gap, least in zip(gaps, (0.05, 0.1, 0.2), strict=True)] == [True] * 3
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("WARNING", None)]


def test_an_unforeseen_failure_is_logged_with_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    turns: list[float] = []
    waker = Debouncer(failing(1, RuntimeError("a bug"), turns), lambda: 0.0)
    waker.run_now()
    assert len(turns) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "a bug" in caplog.text


def test_run_now_does_not_sit_out_a_pause_beyond_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.relay.debouncer.FIRST_PAUSE", PATIENCE_SECONDS)
    monkeypatch.setattr("penstock.relay.debouncer.LONGEST_PAUSE", PATIENCE_SECONDS)
    turns: list[float] = []
    waker = Debouncer(failing(1, Unavailable("away"), turns), lambda: 0.0)
    began = time.monotonic()
    waker.run_now(seconds=1.0)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert len(turns) == 1
    assert waker._wanted


def test_run_now_leaves_the_work_to_the_thread_that_is_at_it() -> None:
    gate = threading.Event()
    work = Work(gate)
    waker = Debouncer(work, lambda: 0.0)
    waker.notify()
    assert work.first.wait(PATIENCE_SECONDS)
    waker.run_now()  # doing the work itself it would wait for the gate
    assert len(work.began) == 1
    gate.set()
    wait_until(lambda: len(work.began) == 2 and not waker._running)


def test_run_now_begins_no_turn_after_its_time_and_leaves_the_wish_to_the_next() -> None:
    turns: list[float] = []

    def work() -> None:
        turns.append(time.monotonic())
        waker._wanted = len(turns) < 50
        time.sleep(0.03)

    waker = Debouncer(work, lambda: 0.0)
    waker.run_now(seconds=0.1)
    assert 2 <= len(turns) <= 5
    assert waker._wanted
    assert not waker._running
