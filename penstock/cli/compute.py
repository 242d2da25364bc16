"""Figures out: `penstock refresh` and `rebuild`."""

import argparse
from dataclasses import asdict

from penstock import projections, views
from penstock.cli.session import print_json, reachable_settings
from penstock.pipelines import runs
from penstock.postgres import pool


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
    """Fill the read models of one projection again."""
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
