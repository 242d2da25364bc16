"""No false accepts: see `import_fuzz`. `FUZZ_RECORDS=1000000` makes it the long run."""

import os
import random

import psycopg
import pytest

from penstock.imports.target import register, unregister
from tests.integration.import_fuzz import ISO, TARGET, judge_all, mutated_records

RECORDS = int(os.environ.get("FUZZ_RECORDS", "20000"))
BATCH = 10_000


@pytest.mark.parametrize("dates", [ISO, "%d/%m/%Y %H:%M", "%m.%d.%Y"])
def test_nothing_is_taken_that_postgres_refuses_or_reads_differently(
    connection: psycopg.Connection, dates: str
) -> None:
    register(TARGET)
    try:
        _fuzz(connection, dates)
    finally:
        unregister(TARGET.name)


def _fuzz(connection: psycopg.Connection, dates: str) -> None:
    rng = random.Random(int(os.environ.get("FUZZ_SEED", "20101201")))
    taken = refused = 0
    for _ in range(0, RECORDS, BATCH):
        accepted, rejected = judge_all(connection, b"".join(mutated_records(rng, BATCH, dates)), dates)
        taken, refused = taken + accepted, refused + rejected
    assert taken > RECORDS / 5, "the mutations leave enough good records to be a test"
    assert refused > RECORDS / 5
