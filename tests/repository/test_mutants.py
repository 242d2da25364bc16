"""The mutants of the project, here and not only in the long run: who edits such a line, or moves a test, learns it."""

import re

from tests.mutation.mutants import FOLDER, load


def test_every_mutant_of_the_project_can_be_applied() -> None:
    root = FOLDER.parents[1]
    for one in load(sorted(FOLDER.glob("*.toml"))):
        one.mutated(root)
        for test in one.tests:
            file, _, name = test.partition("::")
            text = (root / file).read_text(encoding="utf-8")
            assert not name or re.search(rf"^def {name.partition('[')[0]}\(", text, re.MULTILINE), (
                f"{one.source}: {test}"
            )
