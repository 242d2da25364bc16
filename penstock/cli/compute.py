"""Figures out: `penstock refresh` and `rebuild`."""

import argparse
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from penstock import projections, views
from penstock.cli.session import print_json, reachable_settings, say
from penstock.pipelines import runs
from penstock.postgres import pool
from penstock.settings import Settings
from penstock.views import Refreshed

CATCH_UP_SECONDS = 300.0
"""So long a refresh brings the projections up to date first."""


def refresh(options: argparse.Namespace) -> None:
    """Bring the projections up to date, then refresh the named views, or all that can be refreshed.

    A projection that has not caught up in time is named, since the views show what it had by then.
    """
    settings = reachable_settings()
    names = options.views or _materialized()
    for name in names:
        views.find_view(name)
    behind = _catch_up(settings)
    done = []
    for refreshed in _refresh_each(settings, names):
        done.append(refreshed)
        if not options.json:
            print(f"{refreshed.view} refreshed in {refreshed.duration_ms} ms", flush=True)
    if options.json:
        print_json([{**asdict(refreshed), "behind": behind} for refreshed in done])


def refresh_all(settings: Settings) -> None:
    """Bring every projection and every view up to date."""
    _catch_up(settings)
    deque(_refresh_each(settings, _materialized()), maxlen=0)


def _materialized() -> list[str]:
    return [view.name for view in views.views().values() if view.kind == "materialized"]


def _refresh_each(settings: Settings, names: Sequence[str]) -> Iterator[Refreshed]:
    for name in names:
        with runs.record_run(settings, "refresh_views") as run, pool.connection(settings) as connection:
            refreshed = views.refresh_view(connection, name)
            run.details = {"view": name, "duration_ms": refreshed.duration_ms, "coalesced": refreshed.coalesced}
        yield refreshed


def _catch_up(settings: Settings) -> list[str]:
    """Advance all projections; gives the names of those that are behind still."""
    behind = []
    deadline = time.monotonic() + CATCH_UP_SECONDS
    for name in projections.projections():
        if not projections.advance(settings, name, seconds=max(0.0, deadline - time.monotonic())).caught_up:
            behind.append(name)
            say(f"{name} has not caught up with the events: the views do not show all of them yet")
    return behind


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
