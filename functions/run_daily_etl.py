"""The daily figures, at 02:00 in the business's zone (later where that hour is missing on some night), and for any
range on request.

`etl/daily.requested` takes `{"from": "2010-12-01", "to": "2010-12-31"}`, both included; without them it computes what
is due, as the cron does: yesterday, the days before it that may have changed, and every day that was missed.
"""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import inngest

from functions.client import client, correlation_of, settings
from penstock import etl
from penstock.business_time import nightly_hour
from penstock.errors import InvalidInput
from penstock.operations import runs
from penstock.settings import business_timezone

PIPELINE = "run_daily_etl"


@client.create_function(
    fn_id="run-daily-etl",
    trigger=[
        inngest.TriggerCron(cron=f"TZ={business_timezone()} 0 {nightly_hour(business_timezone())} * * *"),
        inngest.TriggerEvent(event="etl/daily.requested"),
    ],
    concurrency=[inngest.Concurrency(limit=1)],
)
def run_daily_etl(ctx: inngest.ContextSync) -> dict[str, Any]:
    run_id = runs.run_id_of(ctx.run_id)
    extracted = ctx.step.run("extract", _extract, run_id, ctx.event, correlation_of(ctx))
    transformed = ctx.step.run("transform", _transform, extracted["batch_id"])
    loaded = ctx.step.run("load", _load, run_id, extracted)
    return {**extracted, "transformed": transformed["days"], "loaded": loaded["days"]}


def _extract(run_id: UUID, event: inngest.Event, correlation_id: str) -> dict[str, Any]:
    runs.start_run(settings(), PIPELINE, run_id, correlation_id)
    from_day, to_day = _days(event)
    extracted = etl.extract(settings(), from_day, to_day, batch_id=run_id)
    return {**extracted, "from": from_day.isoformat(), "to": to_day.isoformat()}


def _transform(batch_id: str) -> dict[str, int]:
    return {"days": etl.transform(settings(), batch_id)["days"]}


def _load(run_id: UUID, extracted: dict[str, Any]) -> dict[str, int]:
    loaded = etl.load(settings(), extracted["batch_id"])
    account = runs.RunAccount(run_id, rows_in=extracted["orders"], rows_out=loaded["days"], details=extracted)
    runs.finish_run(settings(), account)
    return {"days": loaded["days"]}


def _days(event: inngest.Event) -> tuple[date, date]:
    if event.data.get("from") is None and event.data.get("to") is None:
        return etl.due_days(settings(), _day_of(event))
    return _day(event, "from"), _day(event, "to")


def _day_of(event: inngest.Event) -> date:
    """The day on which the run was called for: a run that is retried after midnight still means that day."""
    called = datetime.fromtimestamp(event.ts / 1000, UTC) if event.ts else datetime.now(UTC)
    return called.astimezone(settings().zone).date()


def _day(event: inngest.Event, field: str) -> date:
    text = event.data.get(field)
    try:
        return date.fromisoformat(text if isinstance(text, str) else "")
    except ValueError:
        raise InvalidInput(f"{text!r} is not a day such as 2010-12-31", field=field) from None
