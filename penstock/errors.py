"""What can go wrong, as one tree. The app shows each error once, as `application/problem+json`.

    PenstockError
    ├── SettingsError            the environment is wrong or incomplete
    ├── InvalidInput             a field is wrong; names the field and the reason
    ├── NotFound                 no such stream, order, view, import, …
    ├── Conflict                 the present state does not allow it
    │   ├── VersionConflict      the stream is at another version than expected
    │   ├── EventIdReused        an event id is taken by another event
    │   ├── PartialRepeat        only a part of a call's events is stored already
    │   ├── InsufficientStock    fewer pieces than asked for
    │   ├── ImpossibleStep       the order's status does not allow the step
    │   ├── RebuildInProgress    the read model is being rebuilt already
    │   └── AlreadyResolved      the dead letter was retried or dropped before
    ├── Forbidden                a key's scopes or the caller's place do not allow it
    │   └── Unauthenticated      no key or signature that fits
    └── Unavailable              passing: try again later, `retry_after` seconds
        ├── DatabaseUnavailable  Postgres cannot be reached or broke the connection
        ├── DatabaseReadOnly     Postgres answers but takes no writes: a full disk, a standby
        ├── NotMigrated          the database lacks what this version uses: `penstock migrate`
        ├── PositionsBehind      the sequence of positions was set back, by a failover or a restore
        └── WaitTimedOut         a read model has not reached the position in time

`slug` is the stable name of a kind of error; it never changes once released.
"""

from collections.abc import Mapping
from typing import ClassVar


class PenstockError(Exception):
    """The root. `details` holds numbers and names that a program may act on."""

    slug: ClassVar[str] = "internal"
    example: ClassVar[tuple[str, Mapping[str, object]] | None] = None
    """Of a domain's own kind: a message and details, as the OpenAPI document shows them."""

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.details: Mapping[str, object] = details


class SettingsError(PenstockError):
    slug = "settings"


class InvalidInput(PenstockError):
    """`errors` lists every fault found as `{"field", "reason"}`."""

    slug = "invalid-input"

    def __init__(self, message: str, *, field: str | None = None, **details: object) -> None:
        if field is not None:
            details.setdefault("errors", [{"field": field, "reason": message}])
            message = f"{field}: {message}"
        super().__init__(message, **details)


class NotFound(PenstockError):
    slug = "not-found"


class Conflict(PenstockError):
    slug = "conflict"


class VersionConflict(Conflict):
    """`details` holds `expected` (as the caller said it) and `actual` (0 = no such stream)."""

    slug = "version-conflict"


class EventIdReused(Conflict):
    slug = "event-id-reused"


class PartialRepeat(Conflict):
    slug = "partial-repeat"


class InsufficientStock(Conflict):
    slug = "insufficient-stock"


class ImpossibleStep(Conflict):
    slug = "impossible-step"


class RebuildInProgress(Conflict):
    slug = "rebuild-in-progress"


class AlreadyResolved(Conflict):
    slug = "already-resolved"


class Forbidden(PenstockError):
    slug = "forbidden"


class Unauthenticated(Forbidden):
    slug = "unauthenticated"


class Unavailable(PenstockError):
    """Passing. `retry_after` is in seconds."""

    slug = "unavailable"

    def __init__(self, message: str, *, retry_after: float = 1.0, **details: object) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after


class DatabaseUnavailable(Unavailable):
    slug = "database-unavailable"


class DatabaseReadOnly(Unavailable):
    slug = "database-read-only"


class NotMigrated(Unavailable):
    slug = "not-migrated"


class PositionsBehind(Unavailable):
    """`details` holds `sequence` and the highest position `stored`. Nothing is appended until the owner mends it."""

    slug = "positions-behind"


class WaitTimedOut(Unavailable):
    slug = "wait-timed-out"
