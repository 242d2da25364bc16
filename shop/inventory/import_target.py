"""Stock movements: one line, one `InventoryAdjusted`.

With an `adjustment_id` the same movement is recognised in any file; without one, in this very content by its line.
"""

from penstock.ingest.files.parse.types import Identifier, Integer, Text, Timestamp
from penstock.ingest.files.target import EventMapping, Field, Target

_SELECT = """
select
  r.ord as first_ord, 1::bigint as lines, 'inventory' as aggregate_type, r.product_id as aggregate_id,
  penstock.imported_event_id('inventory', r.product_id, 'InventoryAdjusted', coalesce(r.adjusted_at, 'epoch'),
    coalesce(r.adjustment_id, concat({content}, '#', r.ord))) as id,
  'InventoryAdjusted' as event_type, array[]::text[] as more, 1 as schema_version,
  coalesce(r.adjusted_at, {begun_at}) as occurred_at, null::jsonb as metadata,
  jsonb_build_object('product_id', r.product_id, 'delta', r.delta, 'reason', r.reason) as payload
from {rows} as r
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
