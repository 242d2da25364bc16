"""Driver errors in the project's words: one table from SQLSTATE to `PenstockError`.

The functions in SQL raise one state for each failure of the domain, `PK…`, with numbers in DETAIL as JSON. Nothing is
chosen by a message's text. A state that is not in the table is a bug of ours and stays the driver's error.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from penstock import errors


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn a driver error into the project's own, chosen by SQLSTATE."""
    try:
        yield
    except psycopg.Error as error:
        raise translate(error) from error


def translate(error: psycopg.Error) -> Exception:
    """The project's error for a driver error, or the driver error itself if it is a bug of ours."""
    state = error.sqlstate or ""
    make = _BY_SQLSTATE.get(state) or _BY_CLASS.get(state[:2])
    if make:
        return make(error)
    if not state and isinstance(error, psycopg.OperationalError):
        return _unreachable(error)
    if not state and isinstance(error, psycopg.DataError):  # the driver could not even send it: a NUL in a text
        return errors.InvalidInput(_message(error))
    return error


def _detail(error: psycopg.Error) -> dict[str, Any]:
    text = error.diag.message_detail or ""
    return json.loads(text) if text.startswith("{") else {}


def _message(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]


def _version_conflict(error: psycopg.Error) -> errors.PenstockError:
    detail = _detail(error)
    expected = {0: "no_stream", -1: "any", -2: "stream_exists"}.get(detail["expected"], detail["expected"])
    return errors.VersionConflict(_message(error), expected=expected, actual=detail["actual"])


def _repeated(error: psycopg.Error) -> Exception:
    """An event id that somebody appended to another stream at this very moment; else a bug of ours."""
    if error.diag.constraint_name != "event_store_id_key":
        return error
    return errors.EventIdReused("an event id of this call is taken by an event of another stream")


def _invalid(error: psycopg.Error) -> errors.PenstockError:
    column = error.diag.column_name or error.diag.constraint_name
    return errors.InvalidInput(_message(error), **({"column": column} if column else {}))


def _unreachable(error: psycopg.Error) -> errors.PenstockError:
    reason = re.sub(r"\s+", " ", _message(error)).strip()
    return errors.DatabaseUnavailable(f"Postgres cannot be reached: {reason}", retry_after=2)


def _passing(error: psycopg.Error) -> errors.PenstockError:
    return errors.Unavailable(f"{_message(error)}: try again", retry_after=1)


def _read_only(error: psycopg.Error) -> errors.PenstockError:
    return errors.DatabaseReadOnly(
        f"the database is read-only at the moment, nothing was written: {_message(error)}", retry_after=60
    )


def _not_migrated(error: psycopg.Error) -> errors.PenstockError:
    return errors.NotMigrated(
        f"the database lacks what this version of Penstock uses ({_message(error)}): `penstock migrate` applies its"
        " migrations",
        retry_after=60,
    )


def _positions_behind(error: psycopg.Error) -> errors.PenstockError:
    message = f"{_message(error)} (select ops.raise_positions())"
    return errors.PositionsBehind(message, retry_after=60, **_detail(error))


_BY_SQLSTATE: dict[str, Callable[[psycopg.Error], Exception]] = {
    "PK001": _version_conflict,
    "PK002": lambda error: errors.EventIdReused(_message(error)),
    "PK003": lambda error: errors.PartialRepeat(_message(error), **_detail(error)),
    "PK004": lambda error: errors.InvalidInput(_message(error)),
    "PK006": lambda error: errors.Conflict(_message(error)),
    "PK007": lambda error: errors.NotFound(_message(error)),
    "PK008": _positions_behind,
    "3F000": _not_migrated,
    "42883": _not_migrated,
    "42P01": _not_migrated,
    "23502": _invalid,
    "23505": _repeated,
    "23514": _invalid,
    "25006": _read_only,
    "57014": _passing,
    "55P03": _passing,
}
_BY_CLASS: dict[str, Callable[[psycopg.Error], Exception]] = {
    "08": _unreachable,
    "22": _invalid,
    "28": _unreachable,
    "3D": _unreachable,
    "40": _passing,
    "53": _passing,
    "57": _unreachable,
}
