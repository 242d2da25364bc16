"""An import of a file loads no web framework: 13 MB in every process that does nothing else."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[3]


def test_an_import_with_the_shop_installed_needs_neither_fastapi_nor_inngest() -> None:
    ask = """
import sys
import penstock.cli.importing
from penstock.domain import install
from shop import DOMAIN
install(DOMAIN)
print(*sorted({"fastapi", "starlette", "inngest", "pyarrow"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", ask], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.stderr) == ([], "")
