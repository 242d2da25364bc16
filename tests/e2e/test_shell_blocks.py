"""Each shell block of README and docs, run in order as a reader would, beside one running `make up`.

A block that cannot be run here says so in a comment above it, `<!-- not run: why -->`. `curl` fails here where an
answer is no success, as a reader would see from the answer, and asks again where it says that it is too early.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from penstock.local.postgres import EmbeddedPostgres
from tests.e2e.checkout import PROJECT, Up, copy_project, stop_all

PAGES: Final = (PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md")))
FENCE: Final = re.compile(r"^(?:<!-- not run: (?P<why>.+) -->\n)?```sh\b.*\n(?P<code>(?:.*\n)*?)```$", re.MULTILINE)
NOT_RUN: Final = {"README.md": 4, "deploy.md": 5, "imports.md": 3}
SECRET: Final = "shop=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# Files that a page tells of, as small as they can be.
FILES: Final = {
    "till.csv": "Shop,Receipt,Day,Clock,Type,Article,Quantity,Price\n"
    'S1,7,13 Oct 2025,09:15,sale,TEA,2,"6,90"\n,,,,,CUP,1,"14,00"\n',
    "olist_order_items.csv": "order_id,order_item_id,product_id,seller_id,shipping_limit_date,price,freight_value\n"
    "o1,1,p1,s1,2018-01-05 00:00:00,10.00,2.00\n",
    "orders.csv": "order_id,customer_id,order_status,order_purchase_timestamp\no1,c1,delivered,2018-01-01 10:00:00\n",
    "customers.csv": "customer_id,customer_unique_id\nc1,u1\n",
}


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    code: str
    why: str | None


def blocks() -> Iterator[Block]:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in FENCE.finditer(text):
            yield Block(page.name, text.count("\n", 0, match.start("code")) + 1, match["code"], match["why"])


RUN: Final = [block for block in blocks() if block.why is None]


@pytest.fixture(scope="module")
def reader() -> Iterator[tuple[Path, Up]]:
    """A copy of the project with everything running, and `penstock` where a reader has it."""
    outer = Path(tempfile.mkdtemp(prefix="penstock-blocks-"))
    outer.chmod(0o755)
    folder = copy_project(outer / "penstock")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    _write_program(programs / "penstock", f'exec {sys.executable} -m penstock.cli "$@"')
    _write_program(programs / "curl", f'exec {shutil.which("curl")} --fail-with-body --retry 5 "$@"')
    try:
        yield folder, Up(folder, {"WEBHOOK_SECRETS": SECRET}).ready()
    finally:
        stop_all()
        EmbeddedPostgres(folder / ".penstock" / "postgres").remove()
        shutil.rmtree(outer)


def _write_program(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.line}")
def test_a_block_does_what_its_page_says(reader: tuple[Path, Up], block: Block) -> None:
    folder, up = reader
    here = folder if block.page == "README.md" else folder / "docs"
    here.mkdir(exist_ok=True)
    if here != folder:
        for name, content in FILES.items():
            (here / name).write_text(content)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("INNGEST_", "DATABASE_"))}
    done = subprocess.run(
        [
            "bash",
            "-e",
            "-u",
            "-o",
            "pipefail",
            "-c",
            block.code.replace("http://127.0.0.1:8000", f"http://127.0.0.1:{up.port}"),
        ],
        cwd=here,
        env={**environment, "PATH": f"{folder / '.venv' / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_what_is_not_run_says_why_and_is_counted() -> None:
    found = list(blocks())
    assert Counter(block.page for block in found if block.why) == NOT_RUN
    assert len(RUN) > 15
    fences = sum(len(re.findall(r"^```sh\b", page.read_text(encoding="utf-8"), re.MULTILINE)) for page in PAGES)
    assert len(found) == fences


def test_a_block_that_fails_is_noticed(reader: tuple[Path, Up]) -> None:
    wrong = Block("README.md", 1, "curl -s http://127.0.0.1:8000/v1/nothing\n", None)
    with pytest.raises(AssertionError, match="not-found"):
        test_a_block_does_what_its_page_says(reader, wrong)
