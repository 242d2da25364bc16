"""A deployment has no supabase/: what it is missing is known all the same."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock.postgres.applied import digest_of
from penstock.postgres.migrations import REPOSITORY
from shop import DOMAIN
from tests import throwaway

PROJECT = REPOSITORY.parents[1]
ASK = """
import os
from penstock.domain import install
from penstock.operations.metrics import what_is_missing
from penstock.settings import Settings
from shop import DOMAIN
install(DOMAIN)
print(*what_is_missing(Settings(database_url=os.environ["DATABASE_URL"])), sep="\\n")
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    for name in ("penstock", "shop"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    return folder


@pytest.fixture
def empty_url() -> Iterator[str]:
    with throwaway.fresh_database() as url:
        yield url


def what_is_missing(bundle: Path, url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=bundle,
        env={**os.environ, "PYTHONPATH": str(bundle), "DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_domain_names_its_migrations() -> None:
    files = sorted(REPOSITORY.glob("*_shop_*.sql"))
    assert DOMAIN.migrations == {path.stem: digest_of(path.read_text()) for path in files}, "run `make manifest`"


def test_a_migrated_database_misses_nothing(bundle: Path, database_url: str) -> None:
    assert what_is_missing(bundle, database_url) == ""


def test_an_empty_database_misses_the_packages_and_the_domains_migrations(bundle: Path, empty_url: str) -> None:
    files = sorted(path.stem for path in REPOSITORY.glob("*.sql"))
    said = what_is_missing(bundle, empty_url)
    assert said == f"{len(files)} migrations are not applied, the first is {files[0]}: penstock migrate"


def test_one_missing_migration_of_the_domain_is_named(
    bundle: Path, database_url: str, connection: psycopg.Connection
) -> None:
    last = sorted(DOMAIN.migrations)[-1]
    connection.execute(
        "delete from supabase_migrations.schema_migrations where version = %s", (last.partition("_")[0],)
    )
    assert (
        what_is_missing(bundle, database_url) == f"1 migrations are not applied, the first is {last}: penstock migrate"
    )


@pytest.mark.parametrize("whose", ["penstock", "shop"])
def test_a_database_that_was_given_another_text_is_not_ready(
    bundle: Path, database_url: str, connection: psycopg.Connection, whose: str
) -> None:
    file = sorted(REPOSITORY.glob(f"*_{whose}_*.sql"))[3]
    connection.execute(
        "update supabase_migrations.schema_migrations set statements = %s where version = %s",
        ([file.read_text() + "select 1;\n"], file.name.partition("_")[0]),
    )
    said = what_is_missing(bundle, database_url)
    assert said.startswith(f"{file.name} differs from what this database was given under that version")
