"""Single appends with five million events stored, against ten thousand stored. BENCH_SCALE sets how many."""

from collections.abc import Iterator

from benchmarks.harness import METADATA, PAYLOAD, Bench, Figure, migrated_database, new_id, server
from benchmarks.server_side import OURS

FEW, MANY = 10_000, 5_000_000
# In the owner's SQL, since filling five million through the functions would take an hour.
_FILL = """
select set_config('synchronous_commit', 'off', false);
insert into penstock.streams (aggregate_id, aggregate_type, version)
select 'filled-' || n, 'order', 10 from generate_series(1, {streams}) as n;
insert into public.event_store
  (position, id, aggregate_type, aggregate_id, event_type, payload, metadata, version, schema_version)
select nextval('public.event_store_position_seq'), gen_random_uuid(), 'order', 'filled-' || s, 'OrderPlaced',
  '{payload}', '{metadata}', v, 1
from generate_series(1, {streams}) as s cross join generate_series(1, 10) as v;
"""


def fill(bench: Bench, number: int) -> None:
    bench.execute(_FILL.format(streams=max(1, number // 10), payload=PAYLOAD, metadata=METADATA))
    bench.execute("vacuum (analyze) public.event_store")
    bench.execute("vacuum (analyze) penstock.streams")
    bench.execute("checkpoint")


def run(bench: Bench) -> Iterator[Figure]:
    number = bench.scaled(MANY)
    script = OURS.format(new_id=new_id(bench.url))
    variables = {"payload": PAYLOAD, "metadata": METADATA}
    with server() as server_url, migrated_database(server_url) as url:
        small = Bench(url, bench.rounds, bench.seconds, bench.scale)
        fill(small, FEW)
        fill(bench, number)
        found = bench.take_turns(
            {
                "few": lambda: small.pgbench(script, 8, variables),
                "many": lambda: bench.pgbench(script, 8, variables),
            }
        )
    details = {"stored": number, "few_stored": FEW}
    yield Figure("append_at_5m", "appends/s", found["many"], found["few"], at_least=0.80, details=details)
