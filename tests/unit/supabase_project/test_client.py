"""Supabase's client is imported where it is used: not by the app, an importer or the command line."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["penstock.http.app", "penstock.cli", "penstock.operations.doctor", "penstock.ingest.files.storage.remote"],
)
def test_importing_ours_does_not_import_theirs(module: str) -> None:
    code = f"import {module}, sys; print([name for name in ('supabase', 'storage3', 'jwt') if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
