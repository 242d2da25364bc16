"""The daily figures: extract, transform, load, each safe to run again. Days are passed in; nothing asks the clock."""

from shop.figures.daily import DAILY_REQUESTED, Portion, extract, extract_due, load, run_due, run_range, transform

__all__ = ["DAILY_REQUESTED", "Portion", "extract", "extract_due", "load", "run_due", "run_range", "transform"]
