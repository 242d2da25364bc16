"""The daily figures: extract, transform, load, each safe to run again. Days are passed in; nothing asks the clock."""

from penstock.etl.daily import due_days, extract, load, run_range, transform

__all__ = ["due_days", "extract", "load", "run_range", "transform"]
