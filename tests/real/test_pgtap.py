"""`supabase/tests/*.sql` through pg_prove, on a database like a hosted one, as its owner `postgres`."""

import re
from pathlib import Path

import pytest

from tests.real.toolbox import PROJECT, run

FILES = sorted((PROJECT / "supabase" / "tests").glob("*.sql"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_pg_prove_passes(hosted_dsn: str, file: Path) -> None:
    done = run(["pg_prove", "--dbname", hosted_dsn, "--failures", "--comments", file])
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.search(r"Tests=(\d+)", done.stdout)
    assert counted, done.stdout
    assert int(counted[1]) >= 3


def test_there_are_files_to_prove() -> None:
    assert len(FILES) >= 3
