"""History cannot be rewritten by any role, and each role holds exactly the grants that are listed here."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

from penstock.event_store import NewEvent, append
from penstock.postgres import pool
from tests import throwaway

ROLES = ("postgres", "service_role", "analyst", "anon", "authenticated")
CHANGES = (
    "update public.event_store set payload = '{}'",
    "update public.event_store set position = position + 1",
    "delete from public.event_store",
    "delete from public.event_store where position = 1",
    "truncate public.event_store",
    "truncate public.event_store cascade",
    "merge into public.event_store as e using (select 1 as position) as s on e.position = s.position"
    " when matched then delete",
    "update public.current_events set payload = '{}'",
    "delete from public.current_events",
)


@pytest.fixture(scope="module")
def database_of_module() -> Iterator[str]:
    with throwaway.cloned_database() as url:
        with pool.connect(url) as connection:
            append(connection, "thing", "1", "no_stream", [NewEvent("Made", {"n": n}) for n in range(3)])
        yield url


@pytest.fixture
def store(database_of_module: str) -> Iterator[psycopg.Connection]:
    """A session of its own in a database that no test manages to change."""
    with pool.connect(database_of_module) as connection:
        yield connection


def contents(connection: psycopg.Connection) -> list[tuple[object, ...]]:
    return connection.execute("select position, payload, version from public.event_store order by position").fetchall()


@pytest.mark.parametrize("statement", CHANGES)
@pytest.mark.parametrize("role", ROLES)
def test_no_role_changes_an_event(store: psycopg.Connection, role: str, statement: str) -> None:
    before = contents(store)
    store.execute(f"set role {role}".encode())
    with pytest.raises(psycopg.Error) as caught:
        store.execute(statement.encode())
    assert caught.value.sqlstate == ("PK006" if role == "postgres" else "42501")
    store.execute("reset role")
    assert contents(store) == before


@pytest.mark.parametrize("statement", CHANGES)
def test_a_session_in_replica_mode_changes_no_event(store: psycopg.Connection, statement: str) -> None:
    before = contents(store)
    store.execute("set session_replication_role = replica")
    with pytest.raises(psycopg.Error) as caught:
        store.execute(statement.encode())
    assert caught.value.sqlstate == "PK006"
    store.execute("reset session_replication_role")
    assert contents(store) == before


@pytest.mark.parametrize("role", ["service_role", "analyst", "anon", "authenticated"])
@pytest.mark.parametrize(
    "statement",
    [
        "insert into public.event_store select 99, gen_random_uuid(), 'a', 'b', 'c', '{}', '{}', 1, 1, now()",
        "copy public.event_store from stdin",
        "insert into penstock.streams values ('thing', '1', 7)",
        "update penstock.streams set version = 0",
        "delete from penstock.streams",
        "truncate penstock.streams",
        "select setval('public.event_store_position_seq', 1)",
        "select nextval('public.event_store_position_seq')",
        "alter table public.event_store disable trigger all",
        "drop table public.event_store",
        "drop trigger event_store_refuse_change on public.event_store",
        "set session_replication_role = replica",
    ],
)
def test_nobody_but_the_owner_writes_past_the_functions(store: psycopg.Connection, role: str, statement: str) -> None:
    store.execute(f"set role {role}".encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        store.execute(statement.encode())


def test_the_service_role_appends_and_reads_and_the_analyst_reads(connection: psycopg.Connection) -> None:
    store = connection
    append(store, "thing", "1", "no_stream", [NewEvent("Made", {"n": n}) for n in range(3)])
    store.execute("set role service_role")
    call = "select * from public.append_event('thing', '1', 3, %s, 'Made', '{}')"
    row = store.execute(call, (uuid.uuid4(),)).fetchone()
    assert row is not None
    assert row[0] == 4
    store.execute("set role analyst")
    assert store.execute("select count(*) from public.read_events()").fetchone() == (4,)
    assert store.execute("select count(*) from public.read_stream('thing', '1')").fetchone() == (4,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        store.execute(call, (uuid.uuid4(),))


RELATION_GRANTS = """
select c.relname, r.rolname, array_agg(lower(a.privilege_type) order by a.privilege_type)
from pg_class as c
join pg_namespace as n on n.oid = c.relnamespace
cross join lateral aclexplode(
  coalesce(c.relacl, acldefault((case c.relkind when 'S' then 's' else 'r' end)::"char", c.relowner))
) as a
left join pg_roles as r on r.oid = a.grantee
where a.grantee <> c.relowner and (n.nspname || '.' || c.relname) = any(%s)
group by 1, 2 order by 1, 2
"""


def test_grants_on_the_relations_are_exactly_these(connection: psycopg.Connection) -> None:
    relations = [
        *("public.event_store", "penstock.streams", "public.event_store_position_seq", "public.current_events"),
        *("ops.subscriptions", "ops.listened_types", "penstock.upcasters", "staging.events"),
    ]
    assert connection.execute(RELATION_GRANTS, (relations,)).fetchall() == [
        ("current_events", "analyst", ["select"]),
        ("current_events", "service_role", ["select"]),
        ("event_store", "analyst", ["select"]),
        ("event_store", "service_role", ["select"]),
        ("event_store_position_seq", "analyst", ["select"]),
        ("event_store_position_seq", "service_role", ["select"]),
        ("events", "service_role", ["delete", "insert", "select"]),
        ("listened_types", "service_role", ["delete", "insert", "select", "update"]),
        ("streams", "analyst", ["select"]),
        ("streams", "service_role", ["select"]),
        ("subscriptions", "service_role", ["delete", "insert", "select", "update"]),
        ("upcasters", "analyst", ["select"]),
        ("upcasters", "service_role", ["select"]),
    ]


FUNCTION_GRANTS = """
select p.proname, coalesce(r.rolname, 'public') from pg_proc as p
cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
left join pg_roles as r on r.oid = a.grantee
where a.grantee <> p.proowner and p.proname = any(%s) order by 1, 2
"""


def test_functions_are_granted_by_name(connection: psycopg.Connection) -> None:
    functions = [
        *("append_event", "append_events", "append_staged_events", "read_stream", "read_events", "high_water_mark"),
        *(
            "validate_event",
            "resolve_duplicate",
            "refuse_change",
            "publish_floor",
            "refuse_position",
            "raise_positions",
            "refuse_version",
            "reserve_versions",
        ),
        *("append_new_events", "drop_stored_events", "rewrite_current_events", "register_upcaster"),
    ]
    assert connection.execute(FUNCTION_GRANTS, (functions,)).fetchall() == [
        ("append_event", "service_role"),
        ("append_events", "service_role"),
        ("append_staged_events", "service_role"),
        ("high_water_mark", "analyst"),
        ("high_water_mark", "service_role"),
        ("read_events", "analyst"),
        ("read_events", "service_role"),
        ("read_stream", "analyst"),
        ("read_stream", "service_role"),
    ]
    known = connection.execute("select count(distinct proname) from pg_proc where proname = any(%s)", (functions,))
    assert known.fetchone() == (len(functions),)
