"""Projections: events into rows, exactly once, and rebuilt from zero while others read."""

from penstock.projections.projection import (
    Projection,
    PythonProjection,
    SqlProjection,
    find_projection,
    projections,
    register,
)
from penstock.projections.rebuilding import Rebuilt, rebuild
from penstock.projections.runner import Advanced, advance, advance_all, find_behind, wait_for

__all__ = [
    "Advanced",
    "Projection",
    "PythonProjection",
    "Rebuilt",
    "SqlProjection",
    "advance",
    "advance_all",
    "find_behind",
    "find_projection",
    "projections",
    "rebuild",
    "register",
    "wait_for",
]
