"""The daily figures, at 02:00 in the business's zone (later where that hour is missing on some night), and for any
range on request.

`etl/daily.requested` takes `{"from": "2010-12-01", "to": "2010-12-31"}`, both included; without them it computes what
is due, as the cron does: yesterday, the days before it that may have changed, every day whose orders have changed since
it was computed, and every day that was missed, a thousand days a portion. With `{"marked": true}`, and after an import
(`import/file.loaded`), only those that have changed; then the views are refreshed, too.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import inngest

from penstock.business_time import nightly_hour
from penstock.errors import InvalidInput
from penstock.inngest.client import client, correlation_of, settings
from penstock.pipelines import runs
from penstock.relay.event_names import IMPORT_LOADED, VIEWS_REQUESTED
from penstock.settings import business_timezone
from shop import figures
from shop.figures import DAILY_REQUESTED

PIPELINE = "run_daily_etl"
# Three steps each; Inngest allows 1,000 steps a run. What is left over is due at the next run.
MAX_PORTIONS = 100

Ranges: TypeAlias = list[list[str]]
"""First and last days, as JSON has them."""


@client.create_function(
    fn_id="run-daily-etl",
    trigger=[
        inngest.TriggerCron(cron=f"TZ={business_timezone()} 0 {nightly_hour(business_timezone())} * * *"),
        inngest.TriggerEvent(event=DAILY_REQUESTED),
        inngest.TriggerEvent(event=IMPORT_LOADED),
    ],
    concurrency=[inngest.Concurrency(limit=1)],
)
def run_daily_etl(ctx: inngest.ContextSync) -> dict[str, Any]:
    run_id = runs.run_id_of(ctx.run_id)
    asked = ctx.step.run("find-days", _find_days, run_id, ctx)
    portions: list[dict[str, Any]] = []
    for number, ranges in enumerate(asked["batches"], start=1):
        name = f"-{number}" if number > 1 else ""
        extracted = ctx.step.run(f"extract{name}", _extract, run_id, number, ranges)
        portions.append(extracted)
        ctx.step.run(f"transform{name}", _transform, extracted["batch_id"])
        ctx.step.run(f"load{name}", _load, run_id, portions, asked)
    if ctx.event.name == IMPORT_LOADED:
        # a file changes all figures, not only those by day
        ctx.step.send_event("refresh", inngest.Event(name=VIEWS_REQUESTED))
    return _sum_up(portions, asked)


def _find_days(run_id: UUID, ctx: inngest.ContextSync) -> dict[str, Any]:
    """The days of each batch, as ranges. `more` are due still only after the most of portions."""
    event = ctx.event
    runs.start_run(settings(), PIPELINE, run_id, correlation_of(ctx))
    if _names_days(event):
        return {"batches": [_ranges(figures.days_between(_day(event, "from"), _day(event, "to")))], "more": False}
    marked = event.name == IMPORT_LOADED or event.data.get("marked") is True
    due = figures.find_due(settings(), _day_of(event), marked_only=marked)
    return {"batches": [_ranges(days) for days in due[:MAX_PORTIONS]], "more": len(due) > MAX_PORTIONS}


def _extract(run_id: UUID, number: int, ranges: Ranges) -> dict[str, Any]:
    batch_id = run_id if number == 1 else uuid5(run_id, str(number))
    portion = figures.extract(settings(), _days(ranges), batch_id=batch_id)
    return {
        "batch_id": portion["batch_id"],
        "orders": portion["orders"],
        "days": portion["days"],
        "from": portion["from_day"] and portion["from_day"].isoformat(),
        "to": portion["to_day"] and portion["to_day"].isoformat(),
    }


def _transform(batch_id: str) -> dict[str, int]:
    return {"days": figures.transform(settings(), batch_id)["days"]}


def _load(run_id: UUID, portions: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, int]:
    loaded = figures.load(settings(), portions[-1]["batch_id"])
    if len(portions) == len(asked["batches"]):
        done = _sum_up(portions, asked)
        counts = runs.RunCounts(run_id, rows_in=done["orders"], rows_out=done["days"], details=done)
        runs.finish_run(settings(), counts)
    return {"days": loaded["days"]}


def _sum_up(portions: Sequence[Mapping[str, Any]], asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a run did: its portions come newest first."""
    return {
        "batch_id": portions[0]["batch_id"],
        "orders": sum(portion["orders"] for portion in portions),
        "days": sum(portion["days"] for portion in portions),
        "from": portions[-1]["from"],
        "to": portions[0]["to"],
        "more": asked["more"],
    }


def _ranges(days: Sequence[date]) -> Ranges:
    """Days as ranges of days in a row, the newest first: what a step returns must stay small."""
    ranges: Ranges = []
    for day in sorted(days, reverse=True):
        if ranges and date.fromisoformat(ranges[-1][0]) - day == timedelta(days=1):
            ranges[-1][0] = day.isoformat()
        else:
            ranges.append([day.isoformat(), day.isoformat()])
    return ranges


def _days(ranges: Ranges) -> list[date]:
    ends = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in ranges]
    return [day for first, last in ends for day in figures.days_between(first, last)]


def _names_days(event: inngest.Event) -> bool:
    return event.data.get("from") is not None or event.data.get("to") is not None


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
