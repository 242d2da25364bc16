"""No false accepts: mutated records through both paths into Postgres, and the judge of `import_judge`.

A part of a million here; `tests/real/test_import_million.py` runs them all.
"""

import random

import psycopg
import pytest

from tests.integration.ingest.files.fuzzing import fuzz
from tests.integration.ingest.files.mutants import VARIANTS, Variant

RECORDS = 20_000


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_nothing_is_taken_that_postgres_refuses_or_reads_differently(
    connection: psycopg.Connection, variant: Variant
) -> None:
    fuzz(connection, variant, RECORDS, random.Random(20101201))
