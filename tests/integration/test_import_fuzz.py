"""No false accepts: see `import_fuzz`. `FUZZ_RECORDS=1000000` makes it the long run."""

import os
import random

import psycopg

from penstock.imports.target import register, unregister
from tests.integration.import_fuzz import TARGET, judge_all, mutated_records

RECORDS = int(os.environ.get("FUZZ_RECORDS", "30000"))
BATCH = 10_000


def test_nothing_is_taken_that_postgres_refuses_or_reads_differently(connection: psycopg.Connection) -> None:
    register(TARGET)
    try:
        _fuzz(connection)
    finally:
        unregister(TARGET.name)


def _fuzz(connection: psycopg.Connection) -> None:
    rng = random.Random(int(os.environ.get("FUZZ_SEED", "20101201")))
    taken = refused = 0
    for _ in range(0, RECORDS, BATCH):
        accepted, rejected = judge_all(connection, b"".join(mutated_records(rng, BATCH)))
        taken, refused = taken + accepted, refused + rejected
    assert taken > RECORDS / 5, "the mutations leave enough good records to be a test"
    assert refused > RECORDS / 5
