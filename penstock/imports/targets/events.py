"""Domain events as they are, mostly JSON Lines: any aggregate type, any event type.

Events keep the file's order in their streams. An `id` that is a UUID is kept; another text gives one that follows
from it; without one it follows from the content and the line. Events of an older `schema_version` are stored as they
came and read as new ones by the upcasters.
"""

from penstock.imports.kinds import Identifier, Integer, Json, Text, Timestamp
from penstock.imports.target import Facts, Field, Target, register

_SELECT = """
select
  r.ord as first_ord, 1::bigint as lines, r.aggregate_type, r.aggregate_id,
  case when r.id ~ '^[0-9a-fA-F]{{8}}-([0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}$' then r.id::uuid
    else staging.fact_id(r.aggregate_type, r.aggregate_id, r.event_type, coalesce(r.occurred_at, 'epoch'),
      coalesce(r.id, concat({content}, '#', r.ord)))
  end as id,
  r.event_type, array[]::text[] as more, r.schema_version,
  coalesce(r.occurred_at, {begun_at}) as occurred_at, r.metadata, r.payload
from {rows} as r
"""

register(
    Target(
        name="events",
        fields=(
            Field("aggregate_type", Text(at_most=100), True, ("stream_type",)),
            Field("aggregate_id", Identifier(), True, ("stream_id",)),
            Field("event_type", Text(at_most=200), True, ("type",)),
            Field("payload", Json(), True, ("data", "body")),
            Field("metadata", Json(), False, ()),
            Field("occurred_at", Timestamp(), False, ("dt", "time", "timestamp", "created_at")),
            Field("id", Text(at_most=200), False, ("event_id",)),
            Field("schema_version", Integer(1, 1_000_000), False, ()),
        ),
        into=Facts(_SELECT, repeat="id", by="aggregate_id"),
        defaults={"schema_version": "1"},
    )
)
