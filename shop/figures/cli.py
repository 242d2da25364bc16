"""`penstock etl`: the daily figures, from the command line."""

import argparse
from datetime import date, datetime
from typing import Any

from penstock.cli.arguments import Commands, add_command, add_json, day
from penstock.cli.session import print_json, reachable_settings
from penstock.pipelines import runs
from penstock.settings import Settings
from shop import figures


def add_commands(commands: Commands) -> None:
    etl = add_command(commands, "etl", compute_days, "compute the daily figures; without days, those that are due")
    etl.add_argument("--from", dest="from_day", type=day, metavar="YYYY-MM-DD")
    etl.add_argument("--to", dest="to_day", type=day, metavar="YYYY-MM-DD", help="the last day, included")
    etl.set_defaults(check=_check_days)
    add_json(etl)


def _check_days(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    if options.to_day and not options.from_day:
        parser.error("--to needs --from")
    if options.from_day and options.to_day and options.to_day < options.from_day:
        parser.error(f"--to {options.to_day} is before --from {options.from_day}")


def compute_days(options: argparse.Namespace) -> None:
    """Compute the days that were asked for, or those that are due."""
    settings = reachable_settings()
    if options.from_day:
        done = _compute_range(settings, options.from_day, options.to_day or options.from_day)
    else:
        done = compute_due(settings)
    if options.json:
        print_json(done)
    else:
        print(f"{done['days']:,} days computed, from {done['from']} to {done['to']}")


def compute_marked_days(settings: Settings) -> None:
    """Compute the days that have changed since they were computed."""
    compute_due(settings, marked_only=True)


def compute_due(settings: Settings, *, marked_only: bool = False) -> dict[str, Any]:
    """Compute every day that is due, and record the run: how many days, from the oldest to the newest."""
    with runs.record_run(settings, "run_daily_etl") as run:
        portions = list(figures.run_due(settings, datetime.now(settings.zone).date(), marked_only=marked_only))
        run.rows_in = sum(portion["orders"] for portion in portions)
        run.rows_out = sum(portion["days"] for portion in portions)
        # the newest portion comes first, and the last may be empty: another run was faster
        days = [portion["from_day"] for portion in portions if portion["from_day"]]
        run.details = {"from": min(days, default=None), "to": portions[0]["to_day"]}
    return {**run.details, "days": run.rows_out}


def _compute_range(settings: Settings, first: date, last: date) -> dict[str, Any]:
    with runs.record_run(settings, "run_daily_etl") as run:
        run.rows_out = figures.run_range(settings, first, last)["days"]
        run.details = {"from": first, "to": last}
    return {**run.details, "days": run.rows_out}
