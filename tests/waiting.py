"""How long tests wait for what must come: long enough for a machine that is busy with ten other things.

A deadline only ends a test that would fail in any case; so it costs nothing where all is well.
"""

from typing import Final

PATIENCE_SECONDS: Final = 60
