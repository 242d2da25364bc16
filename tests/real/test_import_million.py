"""A million mutated records against the types of a target: nothing taken that Postgres or the declared rule refuses.

`FUZZ_RECORDS` asks for more, `FUZZ_SEED` for others.
"""

import os
import random
import time

import psycopg

from tests.integration.ingest.files.fuzzing import fuzz
from tests.integration.ingest.files.mutants import VARIANTS
from tests.real.conftest import Figures

RECORDS = int(os.environ.get("FUZZ_RECORDS", "1000000"))
SEED = int(os.environ.get("FUZZ_SEED", "20261121"))


def test_of_a_million_mutated_records_none_is_taken_wrongly(connection: psycopg.Connection, figures: Figures) -> None:
    began = time.monotonic()
    rng = random.Random(SEED)
    each = -(-RECORDS // len(VARIANTS))
    counts = [fuzz(connection, variant, each, rng) for variant in VARIANTS]
    taken, refused = (sum(column) for column in zip(*counts, strict=True))
    figures["mutated records"] = (
        f"{taken:,} taken, {refused:,} refused, none wrongly; {time.monotonic() - began:.0f} s, seed {SEED}"
    )
    # records run into one another where a line end or a quote was mutated, so there are fewer than were made
    assert taken + refused > RECORDS * 0.9
