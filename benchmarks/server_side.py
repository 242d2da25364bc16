"""What the server-side append benchmarks share: pgbench scripts of ours, the bare INSERT, and the naive way.

Each client appends to streams of its own, ten events to each: one that begins it, nine that name the version.
"""

from collections.abc import Callable

from benchmarks.harness import METADATA, PAYLOAD, Bench, copy_of_the_store, new_id

_VARIABLES = r"""
\set s :n / 10
\set e :n % 10
\set n :n + 1
"""
_STREAM = "'s' || :run || '-' || :client_id || '-' || :s"
OURS = f"""{_VARIABLES}
select public.append_event(
  'order', {_STREAM}, :e, {{new_id}}, 'OrderPlaced', :payload, :metadata);
"""
BARE = rf"""{_VARIABLES}
\set v :e + 1
insert into public.bare_store
  (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
values (nextval('public.bare_store_position_seq'), {{new_id}}, 'order', {_STREAM}, 'OrderPlaced', :payload, :metadata,
  :v, 1);
"""
NAIVE = rf"""{_VARIABLES}
begin;
select coalesce(max(version), 0) + 1 as v from public.naive_store
where aggregate_id = {_STREAM} and aggregate_type = 'order' \gset
insert into public.naive_store
  (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
values (nextval('public.naive_store_position_seq'), {{new_id}}, 'order', {_STREAM}, 'OrderPlaced', :payload, :metadata,
  :v, 1);
commit;
"""


def contestants(bench: Bench, clients: int) -> dict[str, Callable[[], float]]:
    """Appends a second by each, as functions that run one round."""
    copy_of_the_store(bench)
    copy_of_the_store(bench, "public.naive_store")
    scripts = {"bare": BARE, "ours": OURS, "naive max(version)+1": NAIVE}
    identifier = new_id(bench.url)

    def round_of(script: str) -> Callable[[], float]:
        text = script.format(new_id=identifier)
        return lambda: bench.pgbench(text, clients, {"payload": PAYLOAD, "metadata": METADATA})

    return {name: round_of(script) for name, script in scripts.items()}
