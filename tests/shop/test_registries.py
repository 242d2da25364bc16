"""What the sample domain declares in one place is what the database, the functions and the other parts have."""

import psycopg

from shop import DOMAIN
from tests.shop.registry import EVENT_TYPES, MATERIALIZED


def names(connection: psycopg.Connection, query: str) -> set[str]:
    return {name for (name,) in connection.execute(query.encode()).fetchall()}


def test_every_materialized_view_is_declared(connection: psycopg.Connection) -> None:
    assert names(connection, "select matviewname from pg_matviews") == set(MATERIALIZED)


def test_every_read_model_exists_and_is_written_by_one_projection(connection: psycopg.Connection) -> None:
    tables = [table for projection in DOMAIN.projections for table in projection.tables]
    assert len(tables) == len(set(tables))
    present = names(connection, "select schemaname || '.' || tablename from pg_tables")
    assert set(tables) <= present


def test_projections_read_only_declared_event_types() -> None:
    read = {event_type for projection in DOMAIN.projections for event_type in projection.event_types}
    assert read <= EVENT_TYPES


def test_each_aggregate_with_a_fold_has_declared_events() -> None:
    assert {fold.aggregate_type for fold in DOMAIN.folds} <= {schema.aggregate_type for schema in DOMAIN.events}
