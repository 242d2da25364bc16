"""Orders, their items, and revenue by the hour.

An order begins with the first `OrderPlaced` of its stream; what comes before that, and a second one, changes nothing.
Steps move an order forward only: the furthest step is its status. `completed` and `cancelled` end it, and of those two
the later one holds, so a completed order that is cancelled takes its revenue back.
"""

from penstock.projections import reading
from penstock.projections.projection import SqlProjection, register

_STEPS = {
    "PaymentReceived": "paid",
    "OrderShipped": "shipped",
    "OrderDelivered": "delivered",
    "OrderCompleted": "completed",
    "OrderCancelled": "cancelled",
}


def _status_after(before: str) -> str:
    return f"""case
    when s.completed_position > s.cancelled_position then 'completed'
    when s.cancelled_position > s.completed_position then 'cancelled'
    when {before} in ('completed', 'cancelled') then {before}
    when s.delivered_at is not null or {before} = 'delivered' then 'delivered'
    when s.shipped_at is not null or {before} = 'shipped' then 'shipped'
    when s.paid_at is not null or {before} = 'paid' then 'paid'
    else 'placed'
  end"""


_TIMES = ",\n    ".join(
    f"max(e.occurred_at) filter (where e.event_type = '{event_type}') as {status}_at"
    for event_type, status in _STEPS.items()
)

# Orders are looked up one by one through `lateral … limit 1`: however large the table, a batch costs index probes,
# and the planner cannot turn it into a scan of all orders. Payloads are read only in what is left of the batch then.
_ADVANCE = f"""
with placed as materialized (
  select distinct on (e.aggregate_id collate "C")
    e.aggregate_id as order_id, e.position, e.version, e.payload, e.metadata, e.created_at
  from public.current_events as e
  left join lateral (select o.order_id from orders as o where o.order_id = e.aggregate_id limit 1) as known on true
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'order' and e.event_type = 'OrderPlaced' and known.order_id is null
  order by e.aggregate_id collate "C", e.position
),
step_events as materialized (
  select e.aggregate_id as order_id, e.position, e.version, e.event_type,
    e.metadata ->> 'occurred_at' as occurred_at, e.created_at
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'order' and e.event_type in ({", ".join(f"'{name}'" for name in _STEPS)})
),
known as materialized (
  select o.*
  from (select distinct e.order_id from step_events as e) as stepped
  cross join lateral (
    select o.order_id, o.placed_position, o.status from orders as o where o.order_id = stepped.order_id limit 1
  ) as o
),
steps as materialized (
  select
    e.order_id, max(e.position) as position, max(e.version) as version,
    {_TIMES},
    coalesce(max(e.position) filter (where e.event_type = 'OrderCompleted'), 0) as completed_position,
    coalesce(max(e.position) filter (where e.event_type = 'OrderCancelled'), 0) as cancelled_position
  from (
    select e.order_id, e.position, e.version, e.event_type,
      coalesce({reading.time("e.occurred_at")}, e.created_at) as occurred_at
    from step_events as e
    inner join (
      select known.order_id, known.placed_position from known
      union all
      select placed.order_id, placed.position from placed
    ) as begun on begun.order_id = e.order_id and begun.placed_position < e.position
  ) as e
  group by e.order_id
),
new_items as (
  insert into order_items (order_id, line, product_id, name, category, quantity, unit_price, amount)
  select i.order_id, i.line, i.product_id, i.name, i.category, i.quantity, i.unit_price, i.quantity * i.unit_price
  from (
    select
      e.order_id, item.ordinality as line,
      {reading.identifier("item.value", "product_id")} as product_id,
      nullif(item.value ->> 'name', '') as name,
      nullif(item.value ->> 'category', '') as category,
      {reading.whole_number("item.value ->> 'quantity'")} as quantity,
      (item.value ->> 'unit_price')::numeric as unit_price
    from placed as e
    cross join lateral {reading.elements("e.payload", "items")} as item
    offset 0 -- keeps the planner from computing quantity and price once more for the amount
  ) as i
),
new_orders as (
  insert into orders (
    order_id, customer_id, status, currency, country, total, placed_at,
    paid_at, shipped_at, delivered_at, completed_at, cancelled_at, version, placed_position, position
  )
  select
    e.order_id,
    {reading.identifier("e.payload", "customer_id")},
    {_status_after("'placed'")},
    nullif(e.payload ->> 'currency', ''),
    nullif(e.payload ->> 'country', ''),
    coalesce(
      (e.payload ->> 'total')::numeric,
      (
        select sum({reading.whole_number("item.value ->> 'quantity'")} * (item.value ->> 'unit_price')::numeric)
        from {reading.elements("e.payload", "items")} as item
      ),
      0
    ),
    {reading.PLACED_AT},
    s.paid_at, s.shipped_at, s.delivered_at, s.completed_at, s.cancelled_at,
    coalesce(s.version, e.version), e.position, coalesce(s.position, e.position)
  from placed as e
  left join steps as s on s.order_id = e.order_id
  returning placed_at, total, status
),
moved_orders as (
  update orders as o set
    status = {_status_after("known.status")},
    paid_at = greatest(o.paid_at, s.paid_at),
    shipped_at = greatest(o.shipped_at, s.shipped_at),
    delivered_at = greatest(o.delivered_at, s.delivered_at),
    completed_at = greatest(o.completed_at, s.completed_at),
    cancelled_at = greatest(o.cancelled_at, s.cancelled_at),
    version = s.version,
    position = s.position
  from steps as s
  inner join known on known.order_id = s.order_id
  where o.order_id = s.order_id
  returning o.placed_at, o.total, o.status, known.status as status_before
),
changes as (
  select n.placed_at, n.total, 1 as placed, (n.status = 'completed')::integer as completed from new_orders as n
  union all
  select m.placed_at, m.total, 0, (m.status = 'completed')::integer - (m.status_before = 'completed')::integer
  from moved_orders as m
  where (m.status = 'completed') <> (m.status_before = 'completed')
)
insert into revenue_by_hour as r (hour, placed_count, order_count, revenue)
select
  date_trunc('hour', c.placed_at, (select ops.business_timezone())),
  sum(c.placed), sum(c.completed), coalesce(sum(c.completed * c.total) filter (where c.completed <> 0), 0)
from changes as c
group by 1
on conflict (hour) do update set
  placed_count = r.placed_count + excluded.placed_count,
  order_count = r.order_count + excluded.order_count,
  revenue = r.revenue + excluded.revenue
"""  # noqa: S608

PROJECTION = register(
    SqlProjection(
        name="orders",
        tables=("orders", "order_items", "revenue_by_hour"),
        event_types=("OrderPlaced", *_STEPS),
        statements=(_ADVANCE,),
    )
)
