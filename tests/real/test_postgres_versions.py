"""The migrations on plain Postgres of every supported major version: they apply, and make the same thing."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from penstock.postgres.migrations import REPOSITORY, migrate, pending_migrations
from tests.real.catalog import Catalog, catalog_of, differences
from tests.real.clusters import MAJORS, Cluster, running_cluster

REFERENCE = 18


@pytest.fixture(scope="module")
def plain_clusters() -> Iterator[dict[int, Cluster]]:
    """One cluster of each version, as `initdb` leaves it: no pg_cron, none of Supabase's roles."""
    with ExitStack() as stack:
        yield {major: stack.enter_context(running_cluster(major)) for major in MAJORS}


@pytest.fixture(scope="module")
def catalogs(plain_clusters: dict[int, Cluster]) -> dict[int, Catalog]:
    return {major: _migrated_catalog(cluster) for major, cluster in plain_clusters.items()}


def _migrated_catalog(cluster: Cluster) -> Catalog:
    cluster.create_database("fresh")
    with cluster.connect("fresh") as connection:
        migrate(connection, folder=REPOSITORY)
        return catalog_of(connection)


@pytest.mark.parametrize("major", MAJORS)
def test_the_cluster_is_of_the_version_it_claims(plain_clusters: dict[int, Cluster], major: int) -> None:
    with plain_clusters[major].connect() as connection:
        assert connection.info.server_version // 10_000 == major


@pytest.mark.parametrize("major", MAJORS)
def test_migrations_make_the_same_catalog_on_every_version(catalogs: dict[int, Catalog], major: int) -> None:
    assert differences(catalogs[major], catalogs[REFERENCE]) == []
    assert [row[0] for row in catalogs[major]["relations"] if row[0] == "public.event_store"]


@pytest.mark.parametrize("major", MAJORS)
def test_a_second_run_of_the_migrations_has_nothing_to_do(
    catalogs: dict[int, Catalog], plain_clusters: dict[int, Cluster], major: int
) -> None:
    with plain_clusters[major].connect("fresh") as connection:
        assert pending_migrations(connection) == []
        assert migrate(connection, folder=REPOSITORY) == []


@pytest.mark.parametrize("major", MAJORS)
def test_events_are_appended_and_read_on_every_version(
    catalogs: dict[int, Catalog], plain_clusters: dict[int, Cluster], major: int
) -> None:
    cluster = plain_clusters[major]
    with cluster.connect("fresh") as connection:
        connection.execute("set role service_role")
        connection.execute(
            "select public.append_events('order', 'o-1', 0, array[gen_random_uuid(), gen_random_uuid()],"
            " array['OrderPlaced', 'OrderCompleted'], array['{}', '{}']::jsonb[], array['{}', '{}']::jsonb[])"
        )
        rows = connection.execute("select event_type, version from public.read_stream('order', 'o-1')").fetchall()
    assert rows == [("OrderPlaced", 1), ("OrderCompleted", 2)]


@pytest.mark.parametrize("major", MAJORS)
def test_a_second_database_of_the_cluster_shares_the_roles(
    catalogs: dict[int, Catalog], plain_clusters: dict[int, Cluster], major: int
) -> None:
    plain_clusters[major].create_database("neighbour")
    with plain_clusters[major].connect("neighbour") as connection:
        migrate(connection, folder=REPOSITORY)
        assert differences(catalog_of(connection), catalogs[major]) == []


@pytest.mark.parametrize(
    "change",
    [
        "grant insert on public.event_store to service_role",
        "comment on table public.event_store is 'another'",
        "alter table public.event_store disable row level security",
        "alter function public.read_stream reset search_path",
        "grant execute on function public.append_event to anon",
        "drop trigger event_store_refuse_truncate on public.event_store",
    ],
)
def test_the_comparison_sees_a_change(
    catalogs: dict[int, Catalog], plain_clusters: dict[int, Cluster], change: str
) -> None:
    with plain_clusters[REFERENCE].connect("fresh") as connection, connection.transaction(force_rollback=True):
        connection.execute(change.encode())
        assert differences(catalog_of(connection), catalogs[REFERENCE])
