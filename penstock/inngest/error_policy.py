"""What Inngest shall do about an error, and what it may see of errors and outputs."""

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TypeVar

import inngest

from penstock import json_codec
from penstock.errors import PenstockError, SettingsError, Unavailable
from penstock.redaction import error_text

log = logging.getLogger("penstock.functions")

T = TypeVar("T")
R = TypeVar("R")


class FunctionFailed(Exception):
    """An error that nobody foresaw, its message free of secrets. Inngest tries again."""


class SortErrors(inngest.MiddlewareSync):
    """Say what Inngest shall do about an error, and give it nothing that JSON or discretion forbids.

    A passing error is tried again when its `retry_after` is over, any other of Penstock's own never (the same input
    would fail again), an unforeseen one, or a wrong setting, as Inngest sees fit. Raising here makes it the run's
    error, also from a step.
    """

    def transform_output(self, result: inngest.TransformOutputResult) -> None:
        if result.error is None:
            if result.has_output():
                result.output = _plain(result.output)
            return
        log.warning("%s", error_text(result.error))
        if not isinstance(result.error, inngest.NonRetriableError | inngest.RetryAfterError | inngest.StepError):
            raise sorted_error(result.error) from None


def sorted_error(error: Exception) -> Exception:
    """Inngest's error for one of ours; the text names the kind, so that it stays readable where only text is kept."""
    if isinstance(error, Unavailable):
        return inngest.RetryAfterError(error_text(error), timedelta(seconds=max(1.0, error.retry_after)))
    if isinstance(error, PenstockError) and not isinstance(error, SettingsError):
        return inngest.NonRetriableError(error_text(error))
    return FunctionFailed(error_text(error)).with_traceback(error.__traceback__)


def in_turn(items: Iterable[T], work: Callable[[T], R]) -> tuple[list[R], list[Exception]]:
    """Do the work for each item, also after one for which it failed. The caller raises a failure when all is done."""
    done: list[R] = []
    failed: list[Exception] = []
    for item in items:
        try:
            done.append(work(item))
        except Exception as error:  # noqa: BLE001 - of any class: what fails for one must not keep the others
            log.warning("goes on after a failure: %s", error_text(error))
            failed.append(error)
    return done, failed


def _plain(output: object) -> object:
    try:
        return json_codec.plain(output)
    except (TypeError, ValueError) as error:
        # never again: what the function or step did would be done once more by each attempt
        raise inngest.NonRetriableError(f"it returned what JSON cannot hold: {error_text(error)}") from None
