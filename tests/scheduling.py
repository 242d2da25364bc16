"""Which tests pytest-xdist gives to one worker together, in the order of their file.

Elsewhere each test is given by itself to whichever worker is free. The mark `xdist_group` does not say it: with pytest
9.2, pytest-xdist 3.8 does not see it (its issue 1386), and distributes such tests as if the mark were not there.
"""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = frozenset({"tests/e2e/test_up.py", "tests/e2e/test_shell_blocks.py"})
"""Files whose tests share a module's fixture and find there what the tests before them left."""


class TogetherScheduling(LoadScopeScheduling):
    """The largest lots first, so that a file of slow tests does not begin when all others have ended."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file in TOGETHER else nodeid
