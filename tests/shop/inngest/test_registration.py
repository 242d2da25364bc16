"""What `/api/inngest` offers: every function of the package, under its file's name."""

import importlib
import pkgutil
from typing import Any

import inngest
import pytest

import functions
import penstock.inngest.functions
from penstock.relay.event_names import IMPORT_LOADED
from shop import DOMAIN
from tests.integration.inngest.test_registration import in_a_new_interpreter

EXPECTED: dict[str, set[str]] = {
    "sweep": {"*/15 * * * *", "penstock/sweep.requested"},
    "advance-projections": {"penstock/projections.behind"},
    **{f"project-{projection.name}": {f"projection/{projection.name}.behind"} for projection in DOMAIN.projections},
    "run-daily-etl": {"TZ=UTC 0 2 * * *", "etl/daily.requested", IMPORT_LOADED},
    "refresh-views": {"views/refresh.requested"},
    "import-file": {"import/file.requested"},
    "drain-inbox": {"webhook/delivery.received"},
    "record-failure": {"inngest/function.failed"},
    "purge-history": {"30 3 * * *", "penstock/purge.requested"},
}


def config(function: inngest.Function[Any]) -> dict[str, Any]:
    """As the SDK sends it to Inngest."""
    return function.get_config("http://127.0.0.1/api/inngest").main.model_dump(by_alias=True)


def test_every_function_is_registered_with_its_triggers() -> None:
    registered = {function.local_id: config(function) for function in functions.FUNCTIONS}
    triggers = {
        name: {trigger.get("event") or trigger.get("cron") for trigger in found["triggers"]}
        for name, found in registered.items()
    }
    assert triggers == EXPECTED


def test_file_function_and_id_bear_one_name() -> None:
    files = {
        module.name: f"{package.__name__}.{module.name}"
        for package in (functions, penstock.inngest.functions)
        for module in pkgutil.iter_modules(package.__path__)
    }
    assert {function.local_id.replace("-", "_") for function in functions.FUNCTIONS} == set(files)
    for name, module in files.items():
        assert getattr(importlib.import_module(module), name) in functions.FUNCTIONS


def test_every_projection_has_a_function_that_runs_one_at_a_time() -> None:
    found = {function.local_id: config(function) for function in functions.FUNCTIONS}
    for name in (projection.name for projection in DOMAIN.projections):
        (limit,) = found[f"project-{name}"]["concurrency"]
        assert (limit["limit"], limit["key"]) == (1, None)


def test_failures_are_recorded_with_many_retries() -> None:
    (found,) = [config(function) for function in functions.FUNCTIONS if function.local_id == "record-failure"]
    assert found["steps"]["step"]["retries"]["attempts"] == 20


@pytest.mark.parametrize(
    ("minutes", "cron"), [("1", "*/1 * * * *"), ("30", "*/30 * * * *"), ("60", "0 * * * *"), ("7", "*/15 * * * *")]
)
def test_the_sweep_comes_as_often_as_the_setting_says(minutes: str, cron: str) -> None:
    code = "from penstock.inngest.functions.sweep import sweep as f; print(f._triggers[0].cron)"
    assert in_a_new_interpreter(code, PENSTOCK_SWEEP_MINUTES=minutes) == cron


def test_the_etl_runs_in_the_business_zone() -> None:
    code = "from functions.run_daily_etl import run_daily_etl as f; print(f._triggers[0].cron)"
    assert in_a_new_interpreter(code, PENSTOCK_TIMEZONE="Europe/Paris") == "TZ=Europe/Paris 0 3 * * *"
