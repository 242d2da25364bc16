"""The one rule of an append is written twice, in append_event and append_events: here the two are held together.

A function that both call costs each append a call, and `append_event` is the hot path; so its text is repeated, for one
event and for many, and must stay the same.
"""

import re

import psycopg

_BODY = "select p.prosrc from pg_catalog.pg_proc as p where p.oid = to_regproc(%s)"
_MOVE = re.compile(r"\n  if expected_version > 0 then.*?\n  end if;\n", re.DOTALL)
_CHECK = re.compile(r"(?:sent\.)?metadata \?& .*?schema_version(?:, 1\))? > 0", re.DOTALL)


def body(connection: psycopg.Connection, name: str) -> str:
    row = connection.execute(_BODY, (f"public.{name}",)).fetchone()
    assert row is not None
    return re.sub(r" *--[^\n]*", "", row[0])


def found(pattern: re.Pattern[str], text: str) -> str:
    (match,) = pattern.findall(text)
    return " ".join(match.split())


def test_one_event_and_many_move_their_stream_alike(connection: psycopg.Connection) -> None:
    one, many = (found(_MOVE, body(connection, name)) for name in ("append_event", "append_events"))
    assert "version + number" in many
    assert one == many.replace("version + number", "version + 1").replace(", number)", ", 1)")


def test_one_event_and_many_are_checked_alike(connection: psycopg.Connection) -> None:
    """What needs no closer look: `schema_versions` alone may be left out for many."""
    one, many = (found(_CHECK, body(connection, name)) for name in ("append_event", "append_events"))
    assert one == many.replace("sent.", "").replace("coalesce(schema_version, 1)", "schema_version")
