"""The mutants of `*.toml` in this folder: chosen lines of the project, each with what takes its place.

[[mutant]]
why = "one sentence: what breaks when this line is gone"
file = "supabase/migrations/….sql"
old = '''exact text, which occurs exactly once in the file'''
new = '''what takes its place'''
tests = ["tests/integration/…/test_x.py::test_name"]
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent
_TEXTS = ("why", "file", "old", "new")


class BadMutant(Exception):
    """A mutant that cannot be applied."""


@dataclass(frozen=True, slots=True)
class Mutant:
    source: str
    why: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def mutated(self, root: Path) -> str:
        """The text of the file with the mutant in it."""
        path = root / self.file
        if not path.is_file():
            raise BadMutant(f"there is no file {self.file}")
        text = path.read_text(encoding="utf-8")
        if (count := text.count(self.old)) != 1:
            raise BadMutant(f"`old` occurs {count} times in {self.file}, not once")
        return text.replace(self.old, self.new)


def load(files: Iterable[Path]) -> list[Mutant]:
    """All mutants of these files, in order. Raises `BadMutant` for an entry of another form."""
    return [_mutant(path.name, entry) for path in files for entry in _entries(path)]


def _entries(path: Path) -> list[dict[str, object]]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadMutant(f"{path.name}: {error}") from None
    entries = document.get("mutant")
    if not isinstance(entries, list) or set(document) != {"mutant"}:
        raise BadMutant(f"{path.name}: holds other than [[mutant]] tables")
    return entries


def _mutant(source: str, entry: dict[str, object]) -> Mutant:
    texts = {name: entry.get(name) for name in _TEXTS}
    tests = entry.get("tests")
    is_whole = set(entry) == {*_TEXTS, "tests"} and all(isinstance(text, str) for text in texts.values())
    if not is_whole or not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        raise BadMutant(f"{source}: {entry.get('why')!r} needs the texts {', '.join(_TEXTS)} and a list of tests")
    if not entry["old"] or entry["old"] == entry["new"]:
        raise BadMutant(f"{source}: {entry['why']!r} changes nothing")
    why, file, old, new = (str(text) for text in texts.values())
    return Mutant(source, why, file, old, new, tuple(tests))
