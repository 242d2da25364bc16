"""The rules that the SQL of projections follows, for each of the shop's."""

from penstock.projections import SqlProjection
from shop import DOMAIN


def test_sql_reads_the_store_qualified_and_upcast_and_writes_its_tables_unqualified() -> None:
    for projection in DOMAIN.projections:
        assert isinstance(projection, SqlProjection)
        for statement in projection.statements:
            assert "public.current_events" in statement
            assert "public.event_store" not in statement
            assert not any(f"public.{table}" in statement for table in projection.tables)
