"""Commands: requests that may be refused. What they decide becomes events.

A domain decides and evolves by pure functions; this room runs them against the store: load, decide, append, and again
if another was faster, the same answer for a repeated call.
"""

from penstock.commands.dispatch import (
    CommandAnswer,
    CommandContext,
    Earlier,
    Identity,
    Recorder,
    evolved,
    in_transaction,
    lock_streams,
)
from penstock.commands.one_stream import run_command

__all__ = [
    "CommandAnswer",
    "CommandContext",
    "Earlier",
    "Identity",
    "Recorder",
    "evolved",
    "in_transaction",
    "lock_streams",
    "run_command",
]
