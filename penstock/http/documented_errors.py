"""The errors as the OpenAPI document shows them: for each status one response, with an example of each kind."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from penstock.errors import PenstockError
from penstock.http.errors import MEDIA_TYPE, status_of, title, type_of
from penstock.http.examples import ID


@dataclass(frozen=True)
class Shown:
    """One kind of error: its slug, the sentence, and the members that a program may act on."""

    slug: str
    detail: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_problem(self, status: int) -> dict[str, Any]:
        named = {"type": type_of(self.slug), "title": title(self.slug), "status": status, "detail": self.detail}
        return named | {"correlation_id": ID} | dict(self.details)


@dataclass(frozen=True)
class DocumentedError:
    """What a status means, under its name in the document. `with_body`: only where a request has one."""

    name: str
    meaning: str
    shown: tuple[Shown, ...]
    with_body: bool = False


DOCUMENTED: Final[Mapping[int, DocumentedError]] = {
    400: DocumentedError(
        "BadRequest",
        "The body is not what its Content-Type says",
        (Shown("bad-request", "There was an error parsing the body"),),
        with_body=True,
    ),
    401: DocumentedError(
        "Unauthenticated",
        "No key, or an unknown one; for webhooks: no signature that fits",
        (Shown("unauthenticated", "send a key: Authorization: Bearer <key>"),),
    ),
    403: DocumentedError(
        "Forbidden",
        "The key lacks the scope; in local mode: not meant for this machine",
        (Shown("forbidden", "the key till lacks the scope write", {"scope": "write"}),),
    ),
    404: DocumentedError(
        "NotFound",
        "There is no such thing",
        (Shown("not-found", "there is no stream ticket/T-1"),),
    ),
    408: DocumentedError(
        "BodyTooSlow",
        "Nothing has come for a minute",
        (Shown("body-too-slow", "nothing has come for 60 seconds"),),
        with_body=True,
    ),
    409: DocumentedError(
        "Conflict",
        "The present state does not allow it",
        (
            Shown("conflict", "the import still runs"),
            Shown("version-conflict", "the stream is at version 3, not 1", {"expected": 1, "actual": 3}),
            Shown("event-id-reused", "an event id of this call is taken by an event of another stream"),
            Shown("partial-repeat", "only a part of these events is stored already"),
            Shown(
                "insufficient-stock",
                "MUG: 1 available, 2 requested",
                {"product_id": "MUG", "available": 1, "requested": 2},
            ),
            Shown("impossible-step", "order A-1 is shipped: pay needs placed", {"order_id": "A-1", "step": "pay"}),
            Shown("rebuild-in-progress", "orders is being rebuilt already", {"projection": "orders"}),
            Shown("already-resolved", f"the dead letter {ID} was retried already"),
        ),
        with_body=True,
    ),
    413: DocumentedError(
        "BodyTooLarge",
        "The body is too large",
        (Shown("body-too-large", "the body is larger than 4500000 bytes"),),
        with_body=True,
    ),
    415: DocumentedError(
        "UnsupportedMediaType",
        "Not a media type that is read here",
        (Shown("unsupported-media-type", "send Content-Type: application/json, not text/plain"),),
        with_body=True,
    ),
    422: DocumentedError(
        "InvalidInput",
        "A field is wrong; `errors` names it",
        (
            Shown(
                "invalid-input",
                "limit: Input should be less than or equal to 1000",
                {"errors": [{"field": "limit", "reason": "Input should be less than or equal to 1000"}]},
            ),
            Shown("bad-file", "the file is not UTF-8"),
        ),
    ),
    503: DocumentedError(
        "Unavailable",
        "Passing: try again after Retry-After seconds",
        (
            Shown("unavailable", "too many listeners"),
            Shown("database-unavailable", "the database cannot be reached at the moment"),
            Shown("database-read-only", "the database takes no writes at the moment"),
            Shown(
                "not-migrated",
                "the database lacks what this version of Penstock uses (relation ops.views does not exist):"
                " `penstock migrate` applies its migrations",
            ),
            Shown("positions-behind", "the sequence of positions is behind the store", {"sequence": 7, "stored": 9}),
            Shown(
                "wait-timed-out",
                "the projection orders has not reached position 9",
                {"projection": "orders", "position": 7, "wanted": 9},
            ),
        ),
    ),
}

_RETRY_AFTER: Final = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}, "example": 1}}


def responses() -> dict[str, Any]:
    """The document's `components/responses`."""
    found = {}
    for status, error in DOCUMENTED.items():
        shown = (*error.shown, *_of_domains(status))
        examples = {each.slug: {"value": each.as_problem(status)} for each in shown}
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": examples}}
        headers = {"headers": _RETRY_AFTER} if status == 503 else {}
        found[error.name] = {"description": error.meaning, **headers, "content": content}
    return found


def _of_domains(status: int) -> Iterator[Shown]:
    """The kinds that installed domains have declared with an example."""
    for kind in _kinds(PenstockError):
        if "example" in vars(kind) and kind.example and status_of(kind) == status:
            yield Shown(kind.slug, *kind.example)


def _kinds(kind: type[PenstockError]) -> Iterator[type[PenstockError]]:
    for each in kind.__subclasses__():
        yield each
        yield from _kinds(each)
