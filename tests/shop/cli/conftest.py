"""A project in a folder of the test's own, which the command line finds as a user's."""

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path) -> Path:
    table = '[tool.penstock]\ndomains = ["shop:DOMAIN"]\nfunctions = "functions:FUNCTIONS"\n'
    (tmp_path / "pyproject.toml").write_text(table)
    return tmp_path
