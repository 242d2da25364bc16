"""Inventory: the balance of each product, and every change with the balance after it.

`StockReserved` with a negative quantity gives a reservation back. A balance below zero is an event like any other here:
whether a command may take the last piece is decided before the event.
"""

from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection

_ADVANCE = f"""
with changes as materialized (
  select
    e.position, e.aggregate_id as product_id, e.event_type,
    case e.event_type
      when 'InventoryAdjusted' then {payload_sql.stock_change("delta")} else 0
    end as on_hand_change,
    case e.event_type
      when 'StockReserved' then {payload_sql.stock_change("quantity")} else 0
    end as reserved_change,
    nullif(e.payload ->> 'reason', '') as reason,
    {payload_sql.identifier("e.payload -> 'order_id'", "order_id")} as order_id,
    coalesce({payload_sql.OCCURRED_AT}, e.created_at) as occurred_at
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'inventory' and e.event_type in ('InventoryAdjusted', 'StockReserved')
),
before as materialized (
  select i.*
  from (select distinct c.product_id from changes as c) as changed
  cross join lateral (
    select i.product_id, i.on_hand, i.reserved from inventory_current as i
    where i.product_id = changed.product_id limit 1
  ) as i
),
history as (
  insert into inventory_history (
    position, product_id, event_type, on_hand_change, reserved_change, on_hand_after, reserved_after,
    reason, order_id, occurred_at
  )
  select
    c.position, c.product_id, c.event_type, c.on_hand_change, c.reserved_change,
    coalesce(b.on_hand, 0) + sum(c.on_hand_change) over balance,
    coalesce(b.reserved, 0) + sum(c.reserved_change) over balance,
    c.reason, c.order_id, c.occurred_at
  from changes as c
  left join before as b on b.product_id = c.product_id
  window balance as (partition by c.product_id order by c.position)
)
insert into inventory_current as i (product_id, on_hand, reserved, position, updated_at)
select c.product_id, sum(c.on_hand_change), sum(c.reserved_change), max(c.position), max(c.occurred_at)
from changes as c
group by c.product_id
order by c.product_id
on conflict (product_id) do update set
  on_hand = i.on_hand + excluded.on_hand,
  reserved = i.reserved + excluded.reserved,
  position = excluded.position,
  updated_at = greatest(i.updated_at, excluded.updated_at)
"""  # noqa: S608

PROJECTION = SqlProjection(
    name="inventory",
    tables=("shop.inventory_current", "shop.inventory_history"),
    event_types=("InventoryAdjusted", "StockReserved"),
    statements=(_ADVANCE,),
)
