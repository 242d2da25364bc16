"""What the command routes share: the context of a command, and reading a model that may have to catch up first."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from anyio import to_thread
from fastapi import Request

from penstock.commands import CommandContext
from penstock.http.routing import caller_of, ids_of, limiter, settings_of
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.projections import wait_for

WAIT_SECONDS: Final = 5.0
MAX_WAITING: Final = 32


def context_of(request: Request, idempotency_key: str | None) -> CommandContext:
    ids = ids_of(request)
    return CommandContext(
        now=datetime.now(UTC),
        actor=caller_of(request).name,
        source="api",
        correlation_id=ids.correlation_id,
        causation_id=ids.request_id,
        idempotency_key=idempotency_key,
    )


async def read_when_ready(
    request: Request,
    projection: str | Sequence[str],
    position: int | None,
    read: Callable[[Connection], dict[str, Any]],
) -> dict[str, Any]:
    """Read once the projection, or each of several, has passed `position`.

    A `position` in what is read is then at least that one. Calls that wait queue among themselves, not before others.
    """
    projections = (projection,) if isinstance(projection, str) else projection

    def waited() -> dict[str, Any]:
        settings = settings_of(request)
        if position is not None:
            for each in projections:
                wait_for(settings, each, position, seconds=WAIT_SECONDS)
        with pool.connection(settings) as connection:
            found = read(connection)
        # a checkpoint may be behind what its projection has dealt with, as nothing of its types came since
        if position is None or "position" not in found:
            return found
        return {**found, "position": max(found["position"], position)}

    waiting = limiter(request, "waiting", MAX_WAITING) if position is not None else None
    return await to_thread.run_sync(waited, limiter=waiting)
