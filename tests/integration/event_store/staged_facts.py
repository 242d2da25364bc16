"""Facts as an import stages them, for tests of what appends them."""

from collections.abc import Iterable
from uuid import uuid4

import psycopg

_TABLE = """
create unlogged table {} (
  n bigint, first_ord bigint, aggregate_type text, aggregate_id text, id uuid, event_type text, more text[],
  more_details jsonb[], occurred_at timestamptz, payload jsonb, schema_version integer, lines bigint,
  event_metadata jsonb, outcome text, known bigint
)
"""
_ROW = """
insert into {} values (
  %(n)s, %(n)s, %(type)s, %(id)s, gen_random_uuid(), 'Made', '{{}}', null, now(), '{{}}', 1, 1,
  '{{"correlation_id": "i", "causation_id": "i", "actor": "a", "source": "import", "occurred_at": "2026-01-01"}}',
  null, 0
)
"""


def stage_facts(connection: psycopg.Connection, streams: Iterable[tuple[str, str]]) -> str:
    """A table of facts, one for each of the streams (type and id); returns its name."""
    table = f"staging.import_{uuid4().hex}_facts"
    connection.execute(_TABLE.format(table).encode())
    for n, (aggregate_type, aggregate_id) in enumerate(streams, start=1):
        connection.execute(_ROW.format(table).encode(), {"n": n, "type": aggregate_type, "id": aggregate_id})
    return table


def append_new_streams(connection: psycopg.Connection, table: str) -> None:
    connection.execute("select penstock.append_new_streams(%s::regclass, 0, 1000)", (table,))


def append_imported_events(connection: psycopg.Connection, table: str) -> None:
    connection.execute(
        "select penstock.append_imported_events(gen_random_uuid(), %s::regclass, 0, 1000, 'id')", (table,)
    )
