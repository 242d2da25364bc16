"""The commonest command: it concerns one aggregate and becomes one event."""

from collections.abc import Callable
from typing import TypeVar

from penstock.commands.dispatch import CommandAnswer, CommandContext, Identity, Recorder, in_transaction
from penstock.event_store import Fold, load_aggregate
from penstock.payloads import Payload
from penstock.postgres.pool import Connection
from penstock.settings import Settings

S = TypeVar("S")


def run_command(
    settings: Settings,
    fold: Fold[S],
    aggregate_id: str,
    name: str,
    request: Payload,
    decide: Callable[[S], Payload],
    context: CommandContext,
) -> CommandAnswer[S]:
    """Load the aggregate, let `decide` turn its state into an event or refuse, and append; again if another was faster.

    `name` and `request` are what an idempotency key identifies: the same key with others is refused.
    """
    identity = Identity(context, name, aggregate_id, request)
    stream = (fold.aggregate_type, aggregate_id)

    def answer(connection: Connection, version: int, position: int, duplicate: bool) -> CommandAnswer[S]:
        state = load_aggregate(connection, fold.reducer, *stream, at_version=version).state
        return CommandAnswer(aggregate_id, state, version, position, duplicate)

    def attempt(connection: Connection) -> CommandAnswer[S]:
        if earlier := identity.find_earlier(connection):
            return answer(connection, earlier.version, earlier.position, True)
        current = load_aggregate(connection, fold.reducer, *stream)
        event = decide(current.state)
        appended = Recorder(connection, context, identity).append_main(stream, current.version, event, context.now)
        return answer(connection, appended.version, appended.position, appended.duplicate)

    return in_transaction(settings, identity, attempt)
