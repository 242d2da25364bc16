"""Operations: runs, alerts, metrics, and whether the process and what it depends on are well."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import Field
from starlette.responses import Response

from penstock.http.metrics import exposition
from penstock.http.parameters import Answer, Limit
from penstock.http.routing import Json, plain, requires, router, settings_of
from penstock.http.shared_look import looked
from penstock.operations import metrics
from penstock.pipelines.runs import page_of_runs
from penstock.postgres import pool
from penstock.types import Time

routes = router()

RunStatus = Literal["running", "completed", "failed"]


class RunOut(Answer):
    id: str
    pipeline: str
    status: RunStatus
    started_at: str
    finished_at: str | None
    duration_ms: int
    rows_in: int
    rows_out: int
    rows_rejected: int
    error: str | None
    correlation_id: str | None
    details: dict[str, Any]


class RunsOut(Answer):
    runs: list[RunOut]
    next: str | None = Field(description="`before` of the next page; null at the end.")


class AlertOut(Answer):
    kind: Literal["failing-pipeline", "late-subscription", "dead-letters", "failed-import", "incomplete-import"]
    name: str = Field(description="The pipeline, the subscription, the source of the dead letters, or the file.")
    since: str
    message: str | None
    count: int


class AlertsOut(Answer):
    alerts: list[AlertOut]


class HealthOut(Answer):
    status: Literal["ok"]


class ReadyOut(Answer):
    status: Literal["ready", "not-ready"]
    missing: list[str]


@routes.get("/v1/runs", responses={200: {"model": RunsOut}}, openapi_extra=requires("read"))
def read_runs(
    request: Request,
    pipeline: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    status: RunStatus | None = None,
    before: Annotated[Time | None, Query(description="Only runs that started before this time.")] = None,
    limit: Limit = 50,
) -> Json:
    """What each pipeline did, the latest run first."""
    when: datetime | None = before
    with pool.connection(settings_of(request)) as connection:
        runs, more = page_of_runs(connection, pipeline=pipeline, status=status, before=when, max_count=limit)
    return Json(
        {"runs": [plain(run) for run in runs], "next": runs[-1].started_at if more else None},
    )


@routes.get("/v1/alerts", responses={200: {"model": AlertsOut}}, openapi_extra=requires("read"))
def read_alerts(request: Request) -> Json:
    """What needs a human: failing pipelines, subscriptions that lag, dead letters, imports that left lines out."""
    settings = settings_of(request)
    with pool.connection(settings) as connection:
        return Json({"alerts": metrics.alerts(connection, settings)})


@routes.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": "penstock_events_total 42\n"}}}
    },
    openapi_extra=requires("read"),
)
def read_metrics(request: Request) -> Response:
    """Metrics, as Prometheus reads them."""
    with pool.connection(settings_of(request)) as connection:
        measured = metrics.measure(connection)
    return Response(exposition(measured), media_type="text/plain; version=0.0.4; charset=utf-8")


@routes.get("/health", responses={200: {"model": HealthOut}}, openapi_extra=requires(None))
async def read_health(request: Request) -> Json:
    """The process answers. Says nothing of the database: a restart would not mend that."""
    return Json({"status": "ok"})


@routes.get("/ready", responses={200: {"model": ReadyOut}, 503: {"model": ReadyOut}}, openapi_extra=requires(None))
async def read_ready(request: Request) -> Json:
    """The database answers and has its migrations. The answer may be a second old: anybody may ask."""
    missing = await looked(request, "readiness", metrics.what_is_missing)
    return Json({"status": "not-ready" if missing else "ready", "missing": missing}, 503 if missing else 200)
