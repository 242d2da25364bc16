"""Load the December 2010 sample the way a user's file goes, and wait for its figures.

Upload, import, events, projections, the daily ETL, refreshed views: nothing is put into a table behind its back.
Everything is asked for over HTTP and may be asked for again: what is there is not loaded twice.
"""

import time
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from penstock.domain import Local
from penstock.ingest.files.ledger import FINAL_STATES
from penstock.local.server_user import LocalServerFailed
from shop.figures import DAILY_REQUESTED
from shop.figures.views import VIEWS

FILE = Path(__file__).parent / "data" / "online_retail_2010-12.csv.gz"
LINES: Final = 42_481
MONTH: Final = "2010-12-01"
DAYS: Final = {"from": "2010-12-01", "to": "2010-12-31"}
AFTER: Final = "2011-01-01"
CURRENCY: Final = "GBP"
SECONDS: Final = 180.0
POLL_SECONDS: Final = 0.15

Check = Callable[[], None]
Json = Mapping[str, Any]


def load_sample(local: Local) -> None:
    """Return when the figures of the sample can be read."""
    with httpx.Client(base_url=local.address, timeout=60, trust_env=False) as api:
        loader = _Loader(api, local.inngest, local.check)
        with _Bar() as bar:
            counts = loader.import_file(bar)
            if not loader.has_figures():
                bar.show("daily figures", 0.8)
                loader.compute_days()
                bar.show("views", 0.95)
                loader.refresh_views()
            bar.show("sample", 1)
        month = loader.month() or {}
    local.say(f"sample     {counts['read']:,} lines: {counts['loaded']:,} loaded, {counts['skipped']:,} skipped")
    revenue = f"{CURRENCY} {Decimal(month['revenue']):,}"
    local.say(f"           December 2010: {month['order_count']:,} orders, revenue {revenue}")


class _Bar:
    """A progress bar on a terminal, nothing elsewhere: a log has no use for one."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description:<14}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
        console = Console()
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("sample", total=1)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def show(self, what: str, share: float) -> None:
        self._progress.update(self._task, description=what, completed=share)


class _Loader:
    def __init__(self, api: httpx.Client, inngest: str, check: Check) -> None:
        self._api = api
        self._inngest = inngest
        self._check = check

    def import_file(self, bar: _Bar) -> Json:
        """Send the file and follow its import to the end; the same file again is the same import."""
        answer = self._api.post("/v1/imports/orders", files={"file": (FILE.name, FILE.read_bytes())})
        place = _json(answer)["status_url"]
        counts = self._follow(lambda: _json(self._api.get(place)), bar)
        if counts["state"] != "completed":
            raise LocalServerFailed(
                f"the sample's import {counts['state']}: {counts['error']} (SAMPLE=0 goes on without)"
            )
        return counts

    def _follow(self, read: Callable[[], Json], bar: _Bar) -> Json:
        def final() -> Json | None:
            counts = read()
            # Each line counts twice: when it is read, and when its order is stored.
            bar.show(counts["state"], 0.75 * (2 * counts["read"] - counts["pending"]) / (2 * LINES))
            return counts if counts["state"] in FINAL_STATES else None

        return self._await(final, "the import of the sample")

    def has_figures(self) -> bool:
        """True if the month's view and all its days are there, and agree."""
        month, days = self.month(), self._days()
        return month is not None and len(days) == 31 and sum(d["order_count"] for d in days) == month["order_count"]

    def compute_days(self) -> None:
        """Ask Inngest for the daily ETL of the month, as anybody may, and wait for its run."""
        before = {run["id"] for run in self._runs()}
        event = {"name": DAILY_REQUESTED, "id": f"sample-{uuid4()}", "data": DAYS}
        answer = httpx.post(f"{self._inngest}/e/penstock-up", json=[event], timeout=30, trust_env=False)
        if not answer.is_success:
            raise LocalServerFailed(f"Inngest did not take the event: {answer.status_code} {answer.text[:300]}")

        def ended() -> Json | None:
            new = [run for run in self._runs() if run["id"] not in before and run["status"] != "running"]
            return new[0] if new else None

        run = self._await(ended, "the daily figures")
        if run["status"] != "completed":
            raise LocalServerFailed(f"the daily ETL failed: {run['error']}")

    def refresh_views(self) -> None:
        for view in VIEWS:
            if view.kind == "materialized":
                _json(self._api.post(f"/v1/views/{view.name}/refresh"))

    def month(self) -> Json | None:
        rows = _json(self._api.get("/v1/views/monthly_revenue", params={"currency": CURRENCY, "limit": 1000}))["rows"]
        return next((row for row in rows if row["month"] == MONTH), None)

    def _days(self) -> list[Json]:
        wanted: dict[str, str | int] = {"before": AFTER, "currency": CURRENCY, "limit": 31}
        rows = _json(self._api.get("/v1/views/daily_analytics", params=wanted))["rows"]
        return [row for row in rows if row["day"] >= DAYS["from"]]

    def _runs(self) -> list[Json]:
        runs: list[Json] = _json(self._api.get("/v1/runs", params={"pipeline": "run_daily_etl", "limit": 20}))["runs"]
        return runs

    def _await(self, ask: Callable[[], Json | None], what: str) -> Json:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            self._check()
            if (answer := ask()) is not None:
                return answer
            time.sleep(POLL_SECONDS)
        raise LocalServerFailed(f"{what} took longer than {SECONDS:.0f} s: see .penstock/logs")


def _json(answer: httpx.Response) -> Any:
    if not answer.is_success:
        raise LocalServerFailed(
            f"the sample: {answer.request.url.path} answered {answer.status_code} {answer.text[:300]}"
        )
    return answer.json()
