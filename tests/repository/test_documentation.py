"""Every path, module, test file and SQL name that README and docs give in backquotes exists.

Fenced blocks have tests of their own; README's Extend is about files that a reader makes.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PATH: Final = re.compile(r"(?:app|benchmarks|docs|functions|penstock|requirements|shop|supabase|tests)/[\w./-]*")
SQL_NAME: Final = re.compile(r"(public|ops|penstock|shop|raw|staging)\.([a-z_0-9]+)(?:\(.*)?")
CREATED: Final = re.compile(
    r"create (?:unlogged |or replace |materialized )*(?:table|view|function|sequence|type)(?: if not exists)? "
    r"(\w+\.\w+)"
)
MODULE: Final = re.compile(r"penstock(?:\.\w+)+")


def quoted() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"^## Extend$.*?(?=^## )", "", text, flags=re.MULTILINE | re.DOTALL)
        yield from ((page.name, name) for name in re.findall(r"`([^`\n]+)`", text))


def test_every_path_in_the_docs_exists() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "penstock").rglob("*.py"))
    missing = [
        (page, name)
        for page, name in quoted()
        if PATH.fullmatch(name) and not (ROOT / name).exists() and f'"{name}"' not in sources  # an event's name
    ]
    assert missing == []


def test_every_test_file_in_the_docs_exists() -> None:
    names = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert [(page, name) for page, name in quoted() if re.fullmatch(r"test_\w+\.py", name) and name not in names] == []


def test_every_module_and_sql_name_in_the_docs_exists() -> None:
    migrations = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "supabase").glob("migrations/*.sql"))
    created = set(CREATED.findall(migrations))
    missing = [
        (page, name)
        for page, name in quoted()
        if (match := SQL_NAME.fullmatch(name))
        and f"{match[1]}.{match[2]}" not in created
        and not (MODULE.fullmatch(name) and find_spec(name))
    ]
    assert len(created) > 60
    assert missing == []
