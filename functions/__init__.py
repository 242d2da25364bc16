"""Inngest functions: one file each, and file, function and id bear one name (`run_daily_etl.py`, `run-daily-etl`).

To add one of your own, put a file here that holds a function of the file's name, made with
`@client.create_function(..., trigger=inngest.TriggerEvent(event="event/OrderPlaced"))`: it is found by itself, and the
relay then sends it every stored `OrderPlaced`.
"""

import importlib
import pkgutil
from typing import Any

import inngest

from functions.client import listened_types, registered


def _discover() -> list[inngest.Function[Any]]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    found = (getattr(importlib.import_module(f"{__name__}.{name}"), name, None) for name in names)
    return [function for function in found if isinstance(function, inngest.Function)]


registered[:] = _discover()

ALL = registered
LISTENED_TYPES = frozenset(listened_types())

__all__ = ["ALL", "LISTENED_TYPES"]
