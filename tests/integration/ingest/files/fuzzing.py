"""Many mutated records, judged batch by batch."""

import random

import psycopg

from penstock.ingest.files.target import register, unregister
from tests.integration.ingest.files.judge import judge_all
from tests.integration.ingest.files.mutants import Variant, mutated_records

BATCH = 10_000


def fuzz(connection: psycopg.Connection, variant: Variant, records: int, rng: random.Random) -> tuple[int, int]:
    """Judge so many records (or a batch more); gives how many were taken and refused."""
    register(variant.target)
    taken = refused = 0
    try:
        for _ in range(0, records, BATCH):
            accepted, rejected = judge_all(connection, b"".join(mutated_records(rng, BATCH, variant)), variant)
            taken, refused = taken + accepted, refused + rejected
    finally:
        unregister(variant.target.name)
    assert taken > records / 5, "the mutations leave enough good records to be a test"
    assert refused > records / 5
    return taken, refused
