"""The benchmarks' runner: what is missing is told, and is a failure unless that was said to be fine."""

import json
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from benchmarks import __main__ as runner
from benchmarks.harness import Bench, Figure, Unavailable


def measurable(bench: Bench) -> Iterator[Figure]:
    yield Figure("measurable", "rows/s", 50.0, 100.0, {"peer": 25.0})


def half_missing(bench: Bench) -> Iterator[Figure]:
    yield Figure("half", "rows/s", 1.0)
    raise Unavailable("pgloader needs pgloader (apt-get install pgloader)")


@pytest.fixture(autouse=True)
def bare_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BENCH_ALLOW_MISSING", raising=False)
    monkeypatch.setattr(runner, "found", lambda: {"measurable": measurable, "half_missing": half_missing})
    monkeypatch.setattr(runner, "server", lambda: nullcontext(""))
    monkeypatch.setattr(runner, "migrated_database", lambda url: nullcontext(url))


def test_every_figure_is_a_json_line_with_ratios_to_its_ceiling(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["measurable"]) == 0
    line = json.loads(capsys.readouterr().out)
    assert (line["ratio"], line["peers"]) == (0.5, {"peer": {"value": 25.0, "ratio": 0.25}})


@pytest.mark.parametrize(
    ("names", "allowed", "code"),
    [([], "", 1), ([], "1", 0), (["half_missing"], "", 1), (["half_missing"], "1", 1), (["measurable"], "", 0)],
)
def test_what_is_missing_is_listed_at_the_end_and_fails(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, names: list[str], allowed: str, code: int
) -> None:
    monkeypatch.setenv("BENCH_ALLOW_MISSING", allowed)
    assert runner.main(names) == code
    said = capsys.readouterr()
    listed = "missing for half_missing: pgloader needs pgloader (apt-get install pgloader)" in said.err
    assert listed == (names != ["measurable"])
    assert ('"half"' in said.out) == listed, "what could be measured is printed all the same"


def test_an_unknown_name_is_refused_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["nothing"]) == 2
    assert "measurable, half_missing" in capsys.readouterr().err
