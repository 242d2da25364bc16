"""The daily figures, at 02:00 in the business's zone (later where that hour is missing on some night), and for any
range on request.

`etl/daily.requested` takes `{"from": "2010-12-01", "to": "2010-12-31"}`, both included; without them it computes what
is due, as the cron does: yesterday, the days before it that may have changed, every day whose orders have changed since
it was computed, and every day that was missed, a thousand days a portion. With `{"marked": true}`, and after an import
(`import/file.loaded`), only those that have changed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid5

import inngest

from penstock.business_time import nightly_hour
from penstock.errors import InvalidInput
from penstock.inngest.client import client, correlation_of, settings
from penstock.pipelines import runs
from penstock.relay.event_names import IMPORT_LOADED
from penstock.settings import business_timezone
from shop import figures
from shop.figures import DAILY_REQUESTED

PIPELINE = "run_daily_etl"
# Three steps each; Inngest allows 1,000 steps a run. What is left over is due at the next run.
MAX_PORTIONS = 100


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
    portions: list[dict[str, Any]] = []
    for number in range(1, MAX_PORTIONS + 1):
        name = f"-{number}" if number > 1 else ""
        before = portions[-1]["from"] if portions else None
        extracted = ctx.step.run(f"extract{name}", _extract, run_id, number, ctx, before)
        portions.append(extracted)
        ctx.step.run(f"transform{name}", _transform, extracted["batch_id"])
        ctx.step.run(f"load{name}", _load, run_id, portions)
        if not extracted["more"]:
            break
    return _sum_up(portions)


def _extract(run_id: UUID, number: int, ctx: inngest.ContextSync, before: str | None) -> dict[str, Any]:
    event = ctx.event
    runs.start_run(settings(), PIPELINE, run_id, correlation_of(ctx))
    batch_id = run_id if number == 1 else uuid5(run_id, str(number))
    if _names_days(event):
        portion = figures.extract(settings(), _day(event, "from"), _day(event, "to"), batch_id=batch_id)
    else:
        bound = date.fromisoformat(before) if before else None
        marked = event.name == IMPORT_LOADED or event.data.get("marked") is True
        portion = figures.extract_due(settings(), _day_of(event), marked_only=marked, before=bound, batch_id=batch_id)
    return {
        "batch_id": portion["batch_id"],
        "orders": portion["orders"],
        "days": portion["days"],
        "from": portion["from_day"] and portion["from_day"].isoformat(),
        "to": portion["to_day"] and portion["to_day"].isoformat(),
        "more": portion["more"],
    }


def _transform(batch_id: str) -> dict[str, int]:
    return {"days": figures.transform(settings(), batch_id)["days"]}


def _load(run_id: UUID, portions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    loaded = figures.load(settings(), portions[-1]["batch_id"])
    if not portions[-1]["more"] or len(portions) == MAX_PORTIONS:
        done = _sum_up(portions)
        counts = runs.RunCounts(run_id, rows_in=done["orders"], rows_out=done["days"], details=done)
        runs.finish_run(settings(), counts)
    return {"days": loaded["days"]}


def _sum_up(portions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a run did: its portions come newest first. `more` days are due still only after the most of portions."""
    ends = [portion for portion in portions if portion["days"]] or portions
    return {
        "batch_id": portions[0]["batch_id"],
        "orders": sum(portion["orders"] for portion in portions),
        "days": sum(portion["days"] for portion in portions),
        "from": ends[-1]["from"],
        "to": ends[0]["to"],
        "more": portions[-1]["more"],
    }


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
