"""Inngest functions: one file each, and file, function and id bear one name (`run_daily_etl.py`, `run-daily-etl`).

To add one of your own, put a file here that holds a function of the file's name, made with
`@client.create_function(..., trigger=inngest.TriggerEvent(event="event/OrderPlaced"))`: it is found by itself, and the
relay then sends it every stored `OrderPlaced`.
"""

import importlib
import pkgutil
from typing import Any

import inngest

from penstock.errors import SettingsError
from penstock.inngest.client import listened_types, registered


def _discover() -> list[inngest.Function[Any]]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [function for name in names if (function := _function_of(name))]


def _function_of(name: str) -> inngest.Function[Any] | None:
    """The file's function; None for a file without any, such as `client.py`."""
    found = vars(importlib.import_module(f"{__name__}.{name}"))
    if isinstance(function := found.get(name), inngest.Function):
        return function
    if others := [key for key, value in found.items() if isinstance(value, inngest.Function)]:
        raise SettingsError(
            f"functions/{name}.py must name its function {name}, not {others[0]}: it would not be found"
        )
    return None


registered[:] = _discover()

ALL = registered
LISTENED_TYPES = frozenset(listened_types())

__all__ = ["ALL", "LISTENED_TYPES"]
