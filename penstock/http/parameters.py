"""Parameters and answer shapes that several resources share."""

from typing import Annotated, Any

from fastapi import Header, Path, Query
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from penstock.types import storable

_Text = AfterValidator(storable)

AggregateType = Annotated[str, Path(min_length=1, max_length=100, examples=["order"]), _Text]
AggregateId = Annotated[str, Path(min_length=1, max_length=200, examples=["A-1"]), _Text]
ProductId = Annotated[str, Path(min_length=1, max_length=200, examples=["MUG"]), _Text]
OrderId = Annotated[str, Path(min_length=1, max_length=200, examples=["A-1"]), _Text]
CustomerId = Annotated[str, Path(min_length=1, max_length=200, examples=["C-7"]), _Text]
Name = Annotated[str, Path(min_length=1, max_length=100), _Text]

Limit = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
After = Annotated[str | None, Query(max_length=2000, description="`next` of the page before.")]
Position = Annotated[int, Query(ge=0, le=2**63 - 1)]
WaitFor = Annotated[
    int | None,
    Query(
        ge=0,
        le=2**63 - 1,
        description="Answer once the read model has passed this position; 503 with Retry-After if it takes too long.",
    ),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[\x21-\x7e]+$",
        description="Send it again after a lost answer: the command is done once, and answered as the first time.",
    ),
]


class Answer(BaseModel):
    """A documented answer. Built by hand from plain values: answers are not validated again on their way out."""

    model_config = ConfigDict(extra="forbid")


class RecordedEventOut(Answer):
    position: int
    id: str
    aggregate_type: str
    aggregate_id: str
    event_type: str
    payload: dict[str, Any]
    metadata: dict[str, Any]
    version: int
    schema_version: int
    created_at: str = Field(examples=["2026-11-21T09:30:00Z"])


class Problem(BaseModel):
    """`application/problem+json`. More members say what happened, by type: `expected` and `actual`, `errors`, …"""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:penstock:problem:version-conflict"])
    title: str
    status: int
    detail: str
    correlation_id: str
