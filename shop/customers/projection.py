"""Customers, registered or seen on an order.

Name, email and country are those of the latest registration by its time, whatever came in last; of two at one time the
later position holds. Orders add a customer nobody has registered, and the country of the latest that names one; once
registered, only the times of the first and last order still come from them.
`CustomerRemoved` takes away all that is known but these times, and with the last of it the customer.
"""

from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection

# Whether a row that comes in says more than the one that is there (c): a registration counts before any order.
_LATER = """(case
      when excluded.registered_at is not null
        then c.registered_at is null or excluded.described_at >= c.described_at
      else c.registered_at is null and excluded.country is not null
        and excluded.described_at >= coalesce(c.described_at, '-infinity')
    end)"""

_REMOVALS = """removals as materialized (
  select e.aggregate_id as customer_id, max(e.position) as position
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'customer' and e.event_type = 'CustomerRemoved'
  group by e.aggregate_id
),
removed as materialized (
  select c.place
  from removals as r
  cross join lateral (
    select c.ctid as place from customers as c where c.customer_id = r.customer_id limit 1
  ) as c
)"""

# What was known before the range. Of the range itself, what comes before a removal is passed over below.
_FORGET = f"""
with {_REMOVALS}
update customers as c set name = null, email = null, country = null, described_at = null, registered_at = null
where c.ctid = any (array(select r.place from removed as r))
"""  # noqa: S608

_DELETE_UNKNOWN = f"""
with {_REMOVALS}
delete from customers as c
where c.ctid = any (array(select r.place from removed as r)) and c.registered_at is null and c.first_order_at is null
"""  # noqa: S608

_ADVANCE = f"""
with {_REMOVALS},
registrations as materialized (
  select
    e.aggregate_id as customer_id, e.position,
    nullif(e.payload ->> 'name', '') as name,
    nullif(e.payload ->> 'email', '') as email,
    nullif(e.payload ->> 'country', '') as country,
    coalesce(
      {payload_sql.time("e.payload ->> 'registered_at'")}, {payload_sql.OCCURRED_AT}, e.created_at
    ) as registered_at
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'customer' and e.event_type = 'CustomerRegistered'
),
-- The time of an order without a customer is not read here.
purchases as materialized (
  select
    o.customer_id, o.position, o.country,
    case
      when o.customer_id is not null
        then coalesce({payload_sql.time("o.placed_at")}, {payload_sql.time("o.occurred_at")}, o.created_at)
    end as placed_at
  from (
    select
      {payload_sql.identifier("e.payload -> 'customer_id'", "customer_id")} as customer_id, e.position,
      nullif(e.payload ->> 'country', '') as country,
      e.payload ->> 'placed_at' as placed_at, e.metadata ->> 'occurred_at' as occurred_at, e.created_at
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and e.aggregate_type = 'order' and e.event_type in ('OrderPlaced', 'OrderAmended')
    offset 0
  ) as o
),
registered as (
  select distinct on (r.customer_id collate "C")
    r.customer_id, r.name, r.email, r.country, r.registered_at as described_at,
    min(r.registered_at) over (partition by r.customer_id) as registered_at
  from registrations as r
  left join removals on removals.customer_id = r.customer_id
  where removals.position is null or r.position > removals.position
  order by r.customer_id collate "C", r.registered_at desc, r.position desc
),
seen as (
  select
    o.customer_id, min(o.placed_at) as first_order_at, max(o.placed_at) as last_order_at,
    max(o.placed_at) filter (
      where o.country is not null and (removals.position is null or o.position > removals.position)
    ) as described_at,
    (array_agg(o.country order by o.placed_at desc, o.position desc) filter (
      where o.country is not null and (removals.position is null or o.position > removals.position)
    ))[1] as country
  from purchases as o
  left join removals on removals.customer_id = o.customer_id
  where o.customer_id is not null
  group by o.customer_id
),
written as (
  insert into customers as c
    (customer_id, name, email, country, described_at, registered_at, first_order_at, last_order_at)
  select
    coalesce(r.customer_id, s.customer_id), r.name, r.email,
    case when r.customer_id is null then s.country else r.country end,
    case when r.customer_id is null then s.described_at else r.described_at end,
    r.registered_at, s.first_order_at, s.last_order_at
  from registered as r
  full join seen as s on s.customer_id = r.customer_id
  order by 1
  on conflict (customer_id) do update set
    name = case when {_LATER} then excluded.name else c.name end,
    email = case when {_LATER} then excluded.email else c.email end,
    country = case when {_LATER} then excluded.country else c.country end,
    described_at = case when {_LATER} then excluded.described_at else c.described_at end,
    registered_at = least(c.registered_at, excluded.registered_at),
    first_order_at = least(c.first_order_at, excluded.first_order_at),
    last_order_at = greatest(c.last_order_at, excluded.last_order_at)
)
select
  {payload_sql.all_read("registrations", "registered_at")},
  {payload_sql.all_read("purchases", "customer_id", "placed_at")}
"""  # noqa: S608

PROJECTION = SqlProjection(
    name="customers",
    tables=("shop.customers",),
    event_types=("CustomerRegistered", "CustomerRemoved", "OrderPlaced", "OrderAmended"),
    statements=(_FORGET, _ADVANCE, _DELETE_UNKNOWN),
)
