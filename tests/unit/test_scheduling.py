"""Tests that build on each other go to one worker, whole and in order; all others are distributed one by one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from xdist.remote import Producer

from tests.conftest import pytest_xdist_make_scheduler
from tests.scheduling import TOGETHER

PROJECT: Final = Path(__file__).parents[2]


class Worker:
    """What the scheduler knows of a worker: it takes tests by their number."""

    shutting_down = False

    def __init__(self) -> None:
        self.gateway = SimpleNamespace(id="gw")
        self.taken: list[int] = []

    def send_runtest_some(self, tests: list[int]) -> None:
        self.taken += tests

    def shutdown(self) -> None:
        self.shutting_down = True


def test_a_file_whose_tests_build_on_each_other_goes_to_one_worker() -> None:
    together = min(TOGETHER)
    tests = [f"tests/{n}.py::test" for n in range(4)] + [f"{together}::test[{n}]" for n in range(5)]
    options: dict[str, Any] = {"tx": ["popen", "popen"], "loadscopereorder": True}
    config: Any = SimpleNamespace(getvalue=options.get, option=SimpleNamespace(**options))
    scheduler: Any = pytest_xdist_make_scheduler(config, Producer("scheduler"))
    workers = [Worker(), Worker()]
    for worker in workers:
        scheduler.add_node(worker)
        scheduler.add_node_collection(worker, tests)
    scheduler.schedule()
    assert [worker.taken for worker in workers] == [[4, 5, 6, 7, 8], [0, 1]]


def test_a_file_that_is_kept_together_is_there() -> None:
    assert [file for file in TOGETHER if not (PROJECT / file).is_file()] == []
