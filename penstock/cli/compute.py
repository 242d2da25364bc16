"""Figures out: `penstock etl`, `refresh` and `rebuild`."""

import argparse
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from penstock import projections, views
from penstock.cli.session import print_json, reachable_settings
from penstock.operations import runs
from penstock.postgres import pool
from penstock.settings import Settings
from shop import figures


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


def refresh(options: argparse.Namespace) -> None:
    """Refresh the named views, or all that can be refreshed."""
    settings = reachable_settings()
    names = options.views or [view.name for view in views.views().values() if view.kind == "materialized"]
    for name in names:
        views.find_view(name)
    done = []
    for name in names:
        with runs.record_run(settings, "refresh_views") as run, pool.connection(settings) as connection:
            refreshed = views.refresh_view(connection, name)
            run.details = {"view": name, "duration_ms": refreshed.duration_ms, "coalesced": refreshed.coalesced}
        done.append(refreshed)
        if not options.json:
            print(f"{name} refreshed in {refreshed.duration_ms} ms", flush=True)
    if options.json:
        print_json([asdict(refreshed) for refreshed in done])


def rebuild(options: argparse.Namespace) -> None:
    """Fill the read models of one projection anew."""
    settings = reachable_settings()
    name = projections.find_projection(options.projection).name
    with runs.record_run(settings, "rebuild") as run:
        rebuilt = projections.rebuild(settings, name)
        run.rows_in, run.rows_rejected = rebuilt.events, rebuilt.parked
        run.rows_out = rebuilt.inserted
        run.details = {"projection": name, **asdict(rebuilt)}
    if options.json:
        print_json({"projection": name, **asdict(rebuilt)})
    else:
        print(
            f"{name} rebuilt from {rebuilt.events:,} events up to position {rebuilt.position:,}:"
            f" {rebuilt.deleted:,} rows were wrong or gone, {rebuilt.inserted:,} put in place,"
            f" {rebuilt.parked:,} events could not be read"
        )
