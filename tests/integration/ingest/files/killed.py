"""Runs in a process of its own, to be killed: an import advanced in many small steps."""

from pathlib import Path
from uuid import UUID

from penstock.domain import install
from penstock.ingest.files import advance_import, register, run
from penstock.ingest.files.load import batches
from penstock.ingest.files.parse.types import Identifier, Integer, Text
from penstock.ingest.files.target import Field, Table, Target
from penstock.settings import Settings
from tests.tickets import DOMAIN

THINGS = Target(
    "killed_things",
    (Field("id", Identifier(40), True), Field("n", Integer(0, 10**6), True), Field("note", Text(), False)),
    Table("public.killed_things", ("id",)),
)


def advance(database_url: str, folder: str, import_id: str) -> None:
    install(DOMAIN)
    register(THINGS)
    batches.BATCH_BYTES = 16 << 10
    run.EVENTS_A_STEP = 40
    run.ROWS_A_BUCKET = 2000
    run.ROWS_FOR_TWO = 1000
    settings = Settings(database_url=database_url, environment="local", storage_folder=Path(folder))
    advance_import(settings, UUID(import_id))
