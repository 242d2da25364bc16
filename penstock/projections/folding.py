"""Fold a range of positions into rows, and park the event that cannot be read.

The same for the live tables and for the copy of a rebuild: only the search path differs.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import class_row

from penstock.errors import InvalidInput
from penstock.event_store import RecordedEvent
from penstock.event_store.streams import EVENT_COLUMNS
from penstock.postgres.pool import Connection
from penstock.projections.projection import Projection, PythonProjection, schemas_of
from penstock.redaction import error_text, redact

# Data (22), a constraint (23), more than a row can hold (54), an upcaster's refusal (P0): the event's fault. Else not.
_UNREADABLE_CLASSES: Final = frozenset({"22", "23", "54", "P0"})
_UNREADABLE_ERRORS: Final = (KeyError, IndexError, ValueError, TypeError, ArithmeticError, InvalidInput)

# A large range is worth a plan of its own; for a few events, planning would take most of the time. The planner knows
# little of a store that just grew or was restored: for one row that it expects and thousands that come, nested loops
# would take minutes. What is joined by `lateral` goes by nested loops all the same.
_LARGE: Final = 500

# UTC, because a time without an offset must mean the same at every rebuild. No JIT: it costs more than it gives here.
_PREPARE: Final = """
select set_config('search_path', %s, true), set_config('timezone', 'UTC', true), set_config('datestyle', 'ISO', true),
  set_config('jit', 'off', true), set_config('work_mem', %s, true)
"""
_COUNT: Final = """
select count(*), min(e.position) from public.event_store as e
where e.position > %(after)s and e.position <= %(upto)s and e.event_type = any(%(event_types)s)
"""
_READ: Final = f"""
select {EVENT_COLUMNS} from public.current_events as e
where e.position > %(after)s and e.position <= %(upto)s and e.event_type = any(%(event_types)s)
order by e.position
"""  # noqa: S608
_PARK: Final = """
select penstock.park_dead_letter('event', %(source)s, e.position::text, %(reason)s, jsonb_build_object(
  'id', e.id, 'aggregate_type', e.aggregate_type, 'aggregate_id', e.aggregate_id, 'version', e.version,
  'event_type', e.event_type
))
from public.event_store as e
where e.position = %(position)s
"""


@dataclass(frozen=True)
class Folded:
    """How many events of its types a projection found in a range, and the position of the one that was parked."""

    events: int
    parked: int | None = None


class Unreadable(Exception):
    """Somewhere in the range is an event that the projection cannot read; nothing of the range was applied."""


def prepare(connection: Connection, projection: Projection, *, copy: str | None = None, work_mem: str = "64MB") -> None:
    """Settings for the rest of the transaction: unqualified names mean the read models, or those in schema `copy`."""
    path = [*([copy] if copy else []), *schemas_of(projection), "pg_temp"]
    connection.execute(_PREPARE, (", ".join(path), work_mem))


def fold_range(
    connection: Connection, projection: Projection, after: int, upto: int, *, beside: Sequence[Connection] = ()
) -> Folded:
    """Apply the events after `after` up to `upto`.

    Raises `Unreadable` if one of several cannot be read; a single one is parked instead. Independent
    statements run at the same time on the connections `beside`, which must be in transactions that are prepared alike.
    """
    span = {"after": after, "upto": upto, "event_types": list(projection.event_types)}
    found, first = connection.execute(_COUNT, span).fetchone() or (0, 0)
    if not found:
        return Folded(0)
    try:
        with ExitStack() as savepoints:
            for each in (connection, *beside):
                savepoints.enter_context(each.transaction())
            _fold((connection, *beside), projection, span, large=found > _LARGE)
    except psycopg.Error as error:
        if (error.sqlstate or "")[:2] not in _UNREADABLE_CLASSES:
            raise
        fault: Exception = error
    except _UNREADABLE_ERRORS as error:
        fault = error
    else:
        return Folded(found)
    if found > 1:
        raise Unreadable from fault
    connection.execute(_PARK, {"source": projection.name, "position": first, "reason": _reason(fault)})
    return Folded(1, parked=first)


def _fold(lanes: Sequence[Connection], projection: Projection, span: dict[str, Any], *, large: bool) -> None:
    if isinstance(projection, PythonProjection):
        projection.apply(lanes[0], _read(lanes[0], span))
        return

    def run(number: int) -> None:
        if large:
            lanes[number].execute("set local enable_nestloop = off")
        for statement in projection.statements[number :: len(lanes)]:
            lanes[number].execute(statement, span, prepare=False if large else None)
        if large:
            lanes[number].execute("set local enable_nestloop = default")

    with ThreadPoolExecutor(len(lanes)) as threads:
        others = [threads.submit(run, number) for number in range(1, len(lanes))]
        run(0)
        for other in others:
            other.result()


def _read(connection: Connection, span: dict[str, Any]) -> list[RecordedEvent]:
    with connection.cursor(binary=True, row_factory=class_row(RecordedEvent)) as cursor:
        return cursor.execute(_READ, span).fetchall()


def _reason(fault: Exception) -> str:
    if isinstance(fault, psycopg.Error):
        return redact(fault.diag.message_primary or str(fault))
    return error_text(fault)
