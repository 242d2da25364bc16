"""Stock movements: one line, one `InventoryAdjusted`.

With an `adjustment_id` the same movement is recognised in any file. Without one a movement is what it says: its
product, time, change and reason, and which of such lines in the file it is (two equal lines are two movements). So a
file that comes again mended, longer, or with other line ends adds what is new alone. Lines that have no time either,
such as those of a count, say too little for that: two deliveries of five look the same on any day. They are recognised
where all such lines of the file are the same, in any order; blank lines, line ends and quotes do not matter.
"""

from penstock.ingest.files.parse.types import Identifier, Integer, Text, Timestamp
from penstock.ingest.files.target import EventMapping, Field, Target

_SELECT = """
with lines as (
  select r.*,
    concat_ws(E'\\x1f', r.product_id, r.delta, coalesce(r.reason, ''), extract(epoch from r.adjusted_at)) as said,
    r.adjustment_id is null and r.adjusted_at is null as is_bare
  from {rows} as r
), file as ( -- a sum: neither the order of the lines nor their number costs memory
  select concat_ws('/', count(*), sum(('x' || left(md5(l.said), 16))::bit(64)::bigint)) as bare_lines
  from lines as l
  where l.is_bare
), numbered as (
  select l.*, row_number() over (partition by l.said, l.adjustment_id order by l.ord) as occurrence
  from lines as l
)
select
  l.ord as first_ord, 1::bigint as lines, 'inventory' as aggregate_type, l.product_id as aggregate_id,
  penstock.imported_event_id('inventory', l.product_id, 'InventoryAdjusted', coalesce(l.adjusted_at, 'epoch'),
    coalesce(l.adjustment_id,
      concat_ws(E'\\x1f', '', l.said, l.occurrence, case when l.is_bare then f.bare_lines end))) as id,
  'InventoryAdjusted' as event_type, array[]::text[] as more, null::jsonb[] as more_details,
  1 as schema_version,
  coalesce(l.adjusted_at, {begun_at}) as occurred_at, null::jsonb as metadata,
  jsonb_build_object('product_id', l.product_id, 'delta', l.delta, 'reason', l.reason) as payload
from numbered as l
cross join file as f
"""

TARGET = Target(
    name="inventory",
    fields=(
        Field("product_id", Identifier(), True, ("StockCode", "sku", "product", "item_id")),
        Field("delta", Integer(-1_000_000_000, 1_000_000_000), True, ("quantity", "change", "adjustment", "qty")),
        Field("reason", Text(at_most=200), False, ("comment", "note")),
        Field("adjusted_at", Timestamp(of_event=True), False, ("date", "created_at", "time", "timestamp")),
        Field("adjustment_id", Identifier(), False, ("reference", "id", "movement_id")),
    ),
    into=EventMapping(_SELECT, repeat="id", by="product_id"),
    defaults={"reason": "import"},
)
