"""A project in a folder of the test's own, which the command line finds as a user's."""

from pathlib import Path

import pytest

from penstock.postgres.migrations import REPOSITORY


@pytest.fixture
def project(tmp_path: Path) -> Path:
    table = '[tool.penstock]\ndomains = ["tests.tickets:DOMAIN"]\nfunctions = "tests.tickets:FUNCTIONS"\n'
    (tmp_path / "pyproject.toml").write_text(table)
    (tmp_path / "supabase").mkdir()
    (tmp_path / "supabase" / "migrations").symlink_to(REPOSITORY)
    return tmp_path
