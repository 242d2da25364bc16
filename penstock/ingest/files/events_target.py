"""Domain events as they are, mostly JSON Lines: any aggregate type, any event type.

Events keep the file's order in their streams. An `id` that is a UUID is kept; another text gives one that follows
from it. Without one it follows from what the event says, which of such events in the file it is, and all events
without an id of the file, in any order: they belong to their file, whose blank lines, line ends and quotes do not
matter. Events of an older `schema_version` are stored as they came and read as new ones by the upcasters.

Metadata stay as they are, but for what the system knows itself: actor, source, correlation and causation ids are this
import's, and the file's are kept under `claimed`. An `occurred_at` in them counts before the field of that name, since
in exported events the one beside them is the time of storing. An event without either is refused: it did not happen
when its file was read.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from penstock import json_codec
from penstock.ingest.files.parse.types import Identifier, Integer, InvalidValue, Json, Text, Timestamp
from penstock.ingest.files.target import EventMapping, Field, Target, register
from penstock.payloads import check_payload_time, find_schema

_ZONE = re.compile(r"(?:Z|[+-][0-9]{2}:?[0-9]{2})$")
_SELECT = """
with bare as (
  select b.ord, b.said, row_number() over (partition by b.said order by b.ord) as occurrence
  from (
    select r.ord, md5(jsonb_build_array(r.aggregate_type, r.aggregate_id, r.event_type,
      r.occurred_at at time zone 'UTC', r.schema_version, r.metadata, r.payload)::text) as said
    from {rows} as r
    where r.id is null
  ) as b
), file as ( -- a sum: neither the order of the lines nor their number costs memory
  select concat_ws('/', count(*), sum(('x' || left(b.said, 16))::bit(64)::bigint)) as bare_lines from bare as b
)
select
  r.ord as first_ord, 1::bigint as lines, r.aggregate_type, r.aggregate_id,
  case when r.id ~ '^[0-9a-fA-F]{{8}}-([0-9a-fA-F]{{4}}-){{3}}[0-9a-fA-F]{{12}}$' then r.id::uuid
    else penstock.imported_event_id(r.aggregate_type, r.aggregate_id, r.event_type, coalesce(r.occurred_at, 'epoch'),
      coalesce(r.id, concat_ws(E'\\x1f', '', b.said, b.occurrence, f.bare_lines)))
  end as id,
  r.event_type, array[]::text[] as more, null::jsonb[] as more_details,
  r.schema_version,
  coalesce((r.metadata ->> 'occurred_at')::timestamptz, r.occurred_at) as occurred_at, r.metadata, r.payload
from {rows} as r
left join bare as b on b.ord = r.ord
cross join file as f
"""


@dataclass(frozen=True)
class Metadata(Json):
    """A JSON object, of which `occurred_at` must be a time with a zone: SQL reads it as one."""

    def read(self, text: str) -> str:
        text = super().read(text)
        moment = json_codec.loads(text, field="metadata").get("occurred_at")
        if moment is not None:
            if not isinstance(moment, str) or not _ZONE.search(moment):
                raise InvalidValue("occurred_at must be a time with a zone, such as 2010-12-01T08:26:00Z")
            Timestamp(of_event=True).read(moment)
        return text


def _check(values: Mapping[str, str | None]) -> None:
    if not values.get("occurred_at"):
        metadata = json_codec.loads(values.get("metadata") or "{}", field="metadata")
        if metadata.get("occurred_at") is None:
            raise ValueError("has no time: neither occurred_at nor metadata.occurred_at")
    schema = find_schema(values.get("event_type") or "")
    if schema and schema.time_field:
        check_payload_time(schema.event_type, json_codec.loads(values.get("payload") or "{}", field="payload"))


TARGET = register(
    Target(
        name="events",
        fields=(
            Field("aggregate_type", Text(at_most=100), True, ("stream_type",)),
            Field("aggregate_id", Identifier(), True, ("stream_id",)),
            Field("event_type", Text(at_most=200), True, ("type",)),
            Field("payload", Json(), True, ("data", "body")),
            Field("metadata", Metadata(), False, ()),
            Field("occurred_at", Timestamp(of_event=True), False, ("dt", "time", "timestamp", "created_at")),
            Field("id", Text(at_most=200), False, ("event_id",)),
            Field("schema_version", Integer(1, 1_000_000), False, ()),
        ),
        into=EventMapping(_SELECT, repeat="id", by="aggregate_id"),
        one_of=(("occurred_at", "metadata"),),
        defaults={"schema_version": "1"},
        check=_check,
    )
)
