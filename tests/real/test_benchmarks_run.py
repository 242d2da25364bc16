"""Every benchmark that needs no other program runs, on a thousandth of its rows. The figures are not judged here."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = (
    "append_1_writer",
    "append_bulk",
    "append_python_8_writers",
    "aggregate_10k",
    "import_again",
    "import_events",
    "import_table",
    "import_table_dirty",
    "import_upsert",
    "project_orders",
    "read_all",
)
SHORT = {"BENCH_ROUNDS": "1", "BENCH_SECONDS": "0.2", "BENCH_SCALE": "0.001"}


@pytest.mark.real
def test_benchmarks_run() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *NAMES],
        cwd=ROOT,
        env={**os.environ, **SHORT},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    printed = {json.loads(line)["name"] for line in done.stdout.splitlines()}
    assert printed >= set(NAMES), "each printed its figure"
