"""Products, listed or seen on an order line.

The latest listing by its time holds as a whole, whatever came in last; of two at one time the later position. A product
nobody has listed takes name and category from the line of the latest order that gives them. `ProductRemoved` takes the
product away, until it is listed or seen again.
"""

from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection

_REMOVALS = """removals as materialized (
  select e.aggregate_id as product_id, max(e.position) as position
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'product' and e.event_type = 'ProductRemoved'
  group by e.aggregate_id
)"""

# What was known before the range. Of the range itself, what comes before a removal is passed over below.
_REMOVE = f"""
with {_REMOVALS},
removed as materialized (
  select p.place
  from removals as r
  cross join lateral (select p.ctid as place from products as p where p.product_id = r.product_id limit 1) as p
)
delete from products as p where p.ctid = any (array(select r.place from removed as r))
"""  # noqa: S608

_ADVANCE = f"""
with {_REMOVALS},
listings as materialized (
  select
    e.aggregate_id as product_id, e.position,
    nullif(e.payload ->> 'name', '') as name,
    nullif(e.payload ->> 'category', '') as category,
    {payload_sql.number("e.payload ->> 'unit_price'")} as unit_price,
    coalesce({payload_sql.OCCURRED_AT}, e.created_at) as listed_at
  from public.current_events as e
  where e.position > %(after)s and e.position <= %(upto)s
    and e.aggregate_type = 'product' and e.event_type = 'ProductListed'
),
lines as materialized (
  select
    {payload_sql.identifier("item.value -> 'product_id'", "product_id")} as product_id,
    o.position, o.placed_at, item.ordinality as line,
    nullif(item.value ->> 'name', '') as name,
    nullif(item.value ->> 'category', '') as category
  from ( -- the time once for each order
    select e.position, e.payload -> 'items' as items, coalesce(
        {payload_sql.time("e.payload ->> 'placed_at'")}, {payload_sql.OCCURRED_AT}, e.created_at
      ) as placed_at
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and e.aggregate_type = 'order' and e.event_type in ('OrderPlaced', 'OrderAmended')
    offset 0
  ) as o
  cross join lateral {payload_sql.elements("o.items")} as item
),
listed as (
  select distinct on (l.product_id collate "C") l.product_id, l.name, l.category, l.unit_price, l.listed_at
  from listings as l
  left join removals on removals.product_id = l.product_id
  where removals.position is null or l.position > removals.position
  order by l.product_id collate "C", l.listed_at desc, l.position desc
),
seen as (
  select
    l.product_id,
    max(l.placed_at) filter (where l.name is not null) as named_at,
    (array_agg(l.name order by l.placed_at desc, l.position desc, l.line desc)
      filter (where l.name is not null))[1] as name,
    max(l.placed_at) filter (where l.category is not null) as categorised_at,
    (array_agg(l.category order by l.placed_at desc, l.position desc, l.line desc)
      filter (where l.category is not null))[1] as category
  from lines as l
  left join removals on removals.product_id = l.product_id
  where l.product_id is not null and (removals.position is null or l.position > removals.position)
  group by l.product_id
),
written as (
  insert into products as p (product_id, name, named_at, category, categorised_at, unit_price, listed_at)
  select
    coalesce(l.product_id, s.product_id),
    case when l.product_id is null then s.name else l.name end,
    case when l.product_id is null then s.named_at end,
    case when l.product_id is null then s.category else l.category end,
    case when l.product_id is null then s.categorised_at end,
    l.unit_price, l.listed_at
  from listed as l
  full join seen as s on s.product_id = l.product_id
  order by 1
  on conflict (product_id) do update set
    name = case
      when excluded.listed_at is not null or excluded.named_at >= coalesce(p.named_at, '-infinity') then excluded.name
      else p.name
    end,
    named_at = case when excluded.listed_at is null then greatest(p.named_at, excluded.named_at) end,
    category = case
      when excluded.listed_at is not null or excluded.categorised_at >= coalesce(p.categorised_at, '-infinity')
        then excluded.category
      else p.category
    end,
    categorised_at = case when excluded.listed_at is null then greatest(p.categorised_at, excluded.categorised_at) end,
    unit_price = excluded.unit_price,
    listed_at = excluded.listed_at
  where case
    when excluded.listed_at is not null then excluded.listed_at >= coalesce(p.listed_at, '-infinity')
    else p.listed_at is null and (
      excluded.named_at >= coalesce(p.named_at, '-infinity')
      or excluded.categorised_at >= coalesce(p.categorised_at, '-infinity')
    )
  end
)
select
  {payload_sql.all_read("listings", "unit_price", "listed_at")},
  {payload_sql.all_read("lines", "product_id", "placed_at")}
"""  # noqa: S608

PROJECTION = SqlProjection(
    name="products",
    tables=("shop.products",),
    event_types=("ProductListed", "ProductRemoved", "OrderPlaced", "OrderAmended"),
    statements=(_REMOVE, _ADVANCE),
)
