"""The names of events towards Inngest: each is written once, and the docs know no others."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from penstock.relay import event_names

ROOT = Path(__file__).parents[3]
CODE = [path for room in ("penstock", "shop", "functions", "app") for path in sorted((ROOT / room).rglob("*.py"))]
NAME = re.compile(r"\b[a-z]+/[a-z]+\.(?:appended|loaded|received|requested)\b")
OF_THE_PACKAGE = {value for value in vars(event_names).values() if isinstance(value, str) and NAME.fullmatch(value)}


def literals(path: Path) -> Iterator[str]:
    """The strings that are a name and no more; docstrings say more."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            yield node.value


def test_each_name_is_written_in_one_place() -> None:
    written = Counter(name for path in CODE for name in literals(path))
    assert {name: count for name, count in written.items() if count > 1} == {}
    of_the_package = {name for path in CODE if path.is_relative_to(ROOT / "penstock") for name in literals(path)}
    assert of_the_package == OF_THE_PACKAGE
