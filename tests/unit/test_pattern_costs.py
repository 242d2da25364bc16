"""No regular expression that sees outside text may cost more than linear time."""

import re
from contextlib import suppress
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from penstock.postgres.migrations import REPOSITORY
from tests.pattern_costs import ROOT, Use, attacks, cpu_limit, cpu_time, find_uses, grows_faster_than_its_text

SIZE = 4000
# Linear time for 4,000 characters is far below a millisecond; what costs more is measured again at four times the size.
SUSPICIOUS_SECONDS = 0.005
# Made at run time from the columns of a file; tests of imports grow columns, quotes and faults for each kind of field.
MADE_AT_RUN_TIME = {
    "penstock/ingest/files/parse/slow_path.py:_cell_pattern",
    "penstock/ingest/files/parse/header.py:_header_line",
    "penstock/ingest/files/parse/framing.py:_record",
    "penstock/ingest/files/parse/framing.py:broken",
    "penstock/ingest/files/parse/framing.py:_cells",
    "penstock/ingest/files/parse/framing.py:_first_cell",
    "penstock/ingest/files/parse/framing.py:_next_cell",
    "penstock/ingest/files/parse/framing.py:_short_lines",
    "penstock/ingest/files/parse/framing.py:_rest_of_cell",
    "penstock/ingest/files/parse/types.py:read",
    "penstock/ingest/files/parse/fast_path.py:build_patterns",
    "penstock/local/inngest_messages.py:check",
    "penstock/postgres/public_schema.py:_move",
}

USES = find_uses("penstock")
TESTED = [use for use in USES if use.pattern is not None]


def test_every_pattern_is_known() -> None:
    assert len(TESTED) > 40
    assert {use.place for use in USES if use.pattern is None} <= MADE_AT_RUN_TIME


@pytest.mark.parametrize("use", TESTED, ids=lambda use: use.place)
def test_no_pattern_costs_more_than_linear_time(use: Use) -> None:
    assert use.pattern is not None
    attack(use.pattern, use.method)


@pytest.mark.parametrize(
    ("source", "method"),
    [
        (r"(\w[\w+.-]*://[^\s:/@]*):\S*@", "sub"),
        (r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]*", "sub"),
        (r'(?:"(?:[^"]|"")*"|"[^"]*")*,x', "match"),
    ],
)
def test_the_attack_finds_patterns_that_cost_more(source: str, method: str) -> None:
    """Two that this project had, and one of the kind whose cost doubles with each cell."""
    with pytest.raises(AssertionError):
        attack(re.compile(source), method, cpu_seconds=2)


def attack(pattern: Any, method: str, *, cpu_seconds: float = 20) -> None:
    with cpu_limit(pattern.pattern, cpu_seconds):
        for sample in _samples(pattern):
            for number, attack in enumerate(attacks(sample, SIZE)):
                if cpu_time(pattern, method, attack) > SUSPICIOUS_SECONDS:
                    longer = next(islice(attacks(sample, 4 * SIZE), number, None))
                    assert not grows_faster_than_its_text(pattern, method, (attack, longer)), attack[:60]


def _samples(pattern: Any) -> list[Any]:
    """Texts with a match, of those that Hypothesis can make: none for a pattern that never matches."""
    samples: list[Any] = []

    @settings(max_examples=6, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.from_regex(pattern))
    def collect(sample: Any) -> None:
        samples.append(sample)

    with suppress(Unsatisfiable):
        collect()
    return samples


def test_sql_patterns_are_anchored_and_have_no_back_reference() -> None:
    """Postgres runs those as automata, in linear time."""
    texts = [*REPOSITORY.glob("*.sql"), *(ROOT / "penstock").rglob("*.py")]
    found = [
        pattern
        for path in texts
        for pattern in re.findall(r"(?: ~\*? |regexp_\w+\([^,()]+, )'((?:[^'\n])+)'", path.read_text(encoding="utf-8"))
    ]
    assert found
    assert all(pattern.startswith("^") and not re.search(r"\\[1-9]", pattern) for pattern in found)
