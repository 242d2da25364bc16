"""Orders, their items, and revenue by the hour.

An order begins with the first `OrderPlaced` of its stream; what comes before that, and a second one, changes nothing.
Steps move an order forward only: the furthest step is its status. `completed` and `cancelled` end it, and of those two
the later one holds, so a completed order that is cancelled takes its revenue back. `OrderAmended` replaces what an
order is, and keeps its status; `OrderVoided` removes the order, which may then begin once more.
"""

from typing import Final

from penstock.projections import payload_sql
from penstock.projections.projection import SqlProjection
from shop.orders.order import AMENDED, DETAILS, NO_CURRENCY, STATUS_AFTER, VOIDED


def currency_of(payload: str) -> str:
    """The payload's ISO 4217 code; `XXX`, which is the code for none, if it names none."""
    code = f"{payload} ->> 'currency'"
    return f"case when {code} ~ '^[A-Z]{{3}}$' then {code} else '{NO_CURRENCY}' end"


_TYPES: Final = ("OrderPlaced", AMENDED, VOIDED, *STATUS_AFTER)
_TYPES_LIST: Final = ", ".join(f"'{name}'" for name in _TYPES)


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
    for event_type, status in STATUS_AFTER.items()
)

_DETAILS: Final = {
    column: (event_type, key) for event_type, columns in DETAILS.items() for column, key in columns.items()
}
_LATEST_DETAILS = ",\n    ".join(
    f"(array_agg(e.{column} order by e.position desc) filter (where e.{column} is not null))[1] as {column}"
    for column in _DETAILS
)


def _read_detail(column: str, event_type: str, key: str) -> str:
    value = f"e.payload -> '{key}'"
    read = f"jsonb_typeof({value}) = 'string' and e.payload ->> '{key}' <> ''"
    return f"case when e.event_type = '{event_type}' and {read} then e.payload ->> '{key}' end as {column}"


_READ_DETAILS = ",\n      ".join(_read_detail(column, *source) for column, source in _DETAILS.items())
_DETAIL_COLUMNS = ", ".join(_DETAILS)

# Read once from the payload, as it is: a cast here could refuse a second placing, which changes nothing.
_PLACED_FIELDS = f"""
      e.created_at, e.metadata ->> 'occurred_at' as occurred_at, e.payload ->> 'placed_at' as placed_at,
      e.payload -> 'customer_id' as customer_id, {currency_of("e.payload")} as currency,
      nullif(e.payload ->> 'country', '') as country, e.payload ->> 'total' as total,
      e.payload ->> 'discount' as discount, e.payload ->> 'shipping' as shipping, e.payload ->> 'tax' as tax,
      coalesce(e.payload -> 'tax_included' = 'true', false) as tax_included,
      case when jsonb_typeof(e.payload -> 'shipping_address') = 'string'
        then nullif(e.payload ->> 'shipping_address', '') end as shipping_address,
      e.payload -> 'items' as items"""


def _placed(fields: str) -> str:
    """What a range places: the first `OrderPlaced` of each stream.

    Nothing precedes version 1. Only a later one is looked up, and one by one, so that however large the table, a batch
    costs index probes; `offset 0` keeps that out of the planner's price for reading the range.
    """
    return f"""placed as materialized (
  select distinct on (e.order_id collate "C") e.*
  from (
    select e.aggregate_id as order_id, e.position, e.version, {fields}
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and e.aggregate_type = 'order' and e.event_type = 'OrderPlaced'
    offset 0
  ) as e
  where e.version = 1 or (select o.order_id from orders as o where o.order_id = e.order_id) is null
  order by e.order_id collate "C", e.position
)"""  # noqa: S608


def _changed(fields: str) -> str:
    """The orders that a range amends or voids; `place` is the row before it, null if the order is not there.

    Such an order must have no other event of the projection in the range: else the error has the runner halve it. So
    each event meets the row that those before it left, and whether it can be read never depends on those after it.
    """
    return f"""changed as materialized (
  select
    e.*, o.place, o.status, o.placed_at as placed_before, o.total as total_before, o.currency as currency_before,
    case when others.number > 1 then ('a range with several events of order ' || e.order_id)::integer end as alone
  from (
    select e.aggregate_id as order_id, e.position, e.version, e.event_type, {fields}
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s
      and e.aggregate_type = 'order' and e.event_type in ('{AMENDED}', '{VOIDED}')
    offset 0
  ) as e
  cross join lateral (
    select count(*) as number
    from ( -- by the stream: the range would be read once for each order
      select s.position from public.current_events as s
      where s.aggregate_id = e.order_id and s.aggregate_type = 'order' and s.event_type in ({_TYPES_LIST})
      offset 0
    ) as s
    where s.position > %(after)s and s.position <= %(upto)s
  ) as others
  left join lateral (
    select o.ctid as place, o.status, o.placed_at, o.total, o.currency
    from orders as o where o.order_id = e.order_id limit 1
  ) as o on true
)"""  # noqa: S608


def _items_of(events: str) -> str:
    return f"""
  select
    i.order_id, i.line, i.product_id, i.name, i.category, i.quantity, i.unit_price,
    coalesce(i.amount, i.quantity * i.unit_price) as amount, coalesce(i.discount, 0) as discount, i.tax
  from (
    select
      e.order_id, item.ordinality as line,
      {payload_sql.identifier("item.value -> 'product_id'", "product_id")} as product_id,
      nullif(item.value ->> 'name', '') as name,
      nullif(item.value ->> 'category', '') as category,
      {payload_sql.whole_number("item.value ->> 'quantity'")} as quantity,
      {payload_sql.number("item.value ->> 'unit_price'")} as unit_price,
      {payload_sql.number("item.value ->> 'amount'")} as amount,
      {payload_sql.number("item.value ->> 'discount'")} as discount,
      {payload_sql.number("item.value ->> 'tax'")} as tax
    from {events} as e
    cross join lateral {payload_sql.elements("e.items")} as item
    offset 0 -- keeps the planner from computing quantity and price once more for the amount
  ) as i"""  # noqa: S608


# Before the orders, which say what was placed already.
_ADD_ITEMS = f"""
with {_placed("e.payload -> 'items' as items")},
{_changed("e.payload -> 'items' as items")},
amended as materialized (
  select c.order_id, c.items from changed as c where c.place is not null and c.event_type = '{AMENDED}'
),
amended_items as materialized ({_items_of("amended")}
),
rewritten as (
  insert into order_items as i
    (order_id, line, product_id, name, category, quantity, unit_price, amount, discount, tax)
  select a.* from amended_items as a
  on conflict (order_id, line) do update set
    product_id = excluded.product_id, name = excluded.name, category = excluded.category,
    quantity = excluded.quantity, unit_price = excluded.unit_price, amount = excluded.amount,
    discount = excluded.discount, tax = excluded.tax
),
lengths as materialized (
  select c.order_id, coalesce(max(a.line), 0) as length
  from changed as c
  left join amended_items as a on a.order_id = c.order_id
  where c.place is not null
  group by c.order_id
),
surplus as materialized (
  select i.place
  from lengths as l
  cross join lateral (
    select i.ctid as place, i.line from order_items as i where i.order_id = l.order_id offset 0
  ) as i
  where i.line > l.length
),
removed as (
  delete from order_items as i where i.ctid = any (array(select s.place from surplus as s))
),
added as (
  insert into order_items (order_id, line, product_id, name, category, quantity, unit_price, amount, discount, tax)
  select i.* from ({_items_of("placed")}) as i
)
select {payload_sql.all_read("changed", "alone")}
"""  # noqa: S608


def _sums(events: str) -> str:
    """`sums` of each order: pieces, and what its lines cost and say of discount and tax, where the order does not.

    Each value of a line is taken out of the payload once, and only where it counts.
    """
    cost = f"""coalesce(
          {payload_sql.number("i.amount")},
          {payload_sql.whole_number("i.quantity")} * {payload_sql.number("i.unit_price")}
        )"""
    return f"""cross join lateral (
    select
      l.pieces, coalesce({payload_sql.number(f"{events}.discount")}, l.discount, 0) as discount,
      coalesce({payload_sql.number(f"{events}.shipping")}, 0) as shipping,
      coalesce({payload_sql.number(f"{events}.tax")}, l.tax, 0) as tax, l.cost
    from (
      select
        coalesce(sum({payload_sql.whole_number("i.quantity")}), 0) as pieces,
        coalesce(sum(case when {events}.total is null then {cost} end), 0) as cost,
        sum({payload_sql.number("i.discount")}) as discount, sum({payload_sql.number("i.tax")}) as tax
      from (
        select
          item.value ->> 'quantity' as quantity,
          case when {events}.total is null then item.value ->> 'amount' end as amount,
          case when {events}.total is null then item.value ->> 'unit_price' end as unit_price,
          case when {events}.discount is null then item.value ->> 'discount' end as discount,
          case when {events}.tax is null then item.value ->> 'tax' end as tax
        from {payload_sql.elements(f"{events}.items")} as item
        offset 0
      ) as i
    ) as l
    offset 0
  ) as sums"""  # noqa: S608


def _total(events: str) -> str:
    return f"""coalesce(
      {payload_sql.number(f"{events}.total")},
      sums.cost - sums.discount + sums.shipping + case when {events}.tax_included then 0 else sums.tax end
    )"""


_SUMS: Final = "sums.discount, sums.shipping, sums.tax, sums.pieces"

_ADVANCE_ORDERS = f"""
with {_placed(_PLACED_FIELDS)},
{_changed(_PLACED_FIELDS)},
amended as materialized (
  select
    c.order_id, c.place, c.placed_before, c.total_before, c.currency_before, c.position, c.version, c.currency,
    c.country, {payload_sql.identifier("c.customer_id", "customer_id")} as customer_id,
    {_total("c")} as total, {_SUMS}, c.tax_included, c.shipping_address,
    coalesce({payload_sql.time("c.placed_at")}, c.placed_before) as placed_at
  from changed as c
  {_sums("c")}
  where c.place is not null and c.event_type = '{AMENDED}'
),
-- Each time is read, also of a step that changes nothing: the cut of the ranges must not decide on that.
moments as materialized (
  select e.order_id, e.position, e.version, e.event_type,
    coalesce({payload_sql.time("e.occurred_at")}, e.created_at) as occurred_at, {_DETAIL_COLUMNS}
  from (
    select e.aggregate_id as order_id, e.position, e.version, e.event_type,
      e.metadata ->> 'occurred_at' as occurred_at, e.created_at,
      {_READ_DETAILS}
    from public.current_events as e
    where e.position > %(after)s and e.position <= %(upto)s and e.aggregate_type = 'order'
      and e.event_type in ({", ".join(f"'{name}'" for name in STATUS_AFTER)})
    offset 0
  ) as e
),
steps as materialized (
  select
    e.order_id, max(e.position) as position, max(e.version) as version,
    {_TIMES},
    coalesce(max(e.position) filter (where e.event_type = 'OrderCompleted'), 0) as completed_position,
    coalesce(max(e.position) filter (where e.event_type = 'OrderCancelled'), 0) as cancelled_position
  from moments as e
  left join (
    select p.order_id, min(p.position) as position from placed as p where p.version > 1 group by p.order_id
  ) as late on late.order_id = e.order_id
  where late.position is null or late.position < e.position
  group by e.order_id
),
-- Apart from the steps, most of which have none: in their order they cost more than all else of a step.
details as materialized (
  select e.order_id, {_LATEST_DETAILS}
  from moments as e
  left join (
    select p.order_id, min(p.position) as position from placed as p where p.version > 1 group by p.order_id
  ) as late on late.order_id = e.order_id
  where num_nonnulls({", ".join(f"e.{column}" for column in _DETAILS)}) > 0
    and (late.position is null or late.position < e.position)
  group by e.order_id
),
known as materialized (
  select o.*
  from steps as s
  left join placed on placed.order_id = s.order_id
  cross join lateral (
    select o.order_id, o.status, o.ctid as place from orders as o where o.order_id = s.order_id limit 1
  ) as o
  where placed.order_id is null
),
new_orders as (
  insert into orders (
    order_id, customer_id, status, currency, country, total, discount, shipping, tax, items_count, tax_included,
    shipping_address, {_DETAIL_COLUMNS}, placed_at, paid_at, shipped_at, delivered_at, completed_at, cancelled_at,
    version, placed_position, position
  )
  select
    e.order_id,
    {payload_sql.identifier("e.customer_id", "customer_id")},
    {_status_after("'placed'")},
    e.currency,
    e.country,
    {_total("e")}, {_SUMS}, e.tax_included,
    e.shipping_address, {", ".join(f"d.{column}" for column in _DETAILS)},
    coalesce({payload_sql.time("e.placed_at")}, {payload_sql.time("e.occurred_at")}, e.created_at),
    s.paid_at, s.shipped_at, s.delivered_at, s.completed_at, s.cancelled_at,
    coalesce(s.version, e.version), e.position, coalesce(s.position, e.position)
  from placed as e
  {_sums("e")}
  left join steps as s on s.order_id = e.order_id
  left join details as d on d.order_id = e.order_id
  returning placed_at, currency, total, status
),
moved_orders as (
  update orders as o set
    status = {_status_after("known.status")},
    paid_at = greatest(o.paid_at, s.paid_at),
    shipped_at = greatest(o.shipped_at, s.shipped_at),
    delivered_at = greatest(o.delivered_at, s.delivered_at),
    completed_at = greatest(o.completed_at, s.completed_at),
    cancelled_at = greatest(o.cancelled_at, s.cancelled_at),
    {", ".join(f"{column} = coalesce(d.{column}, o.{column})" for column in _DETAILS)},
    version = s.version,
    position = s.position
  from steps as s
  inner join known on known.order_id = s.order_id
  left join details as d on d.order_id = s.order_id
  where o.ctid = any (array(select known.place from known)) and o.order_id = s.order_id
  returning o.placed_at, o.currency, o.total, o.status, known.status as status_before
),
amended_orders as (
  update orders as o set
    customer_id = a.customer_id,
    currency = a.currency,
    country = a.country,
    total = a.total,
    discount = a.discount,
    shipping = a.shipping,
    tax = a.tax,
    items_count = a.pieces,
    tax_included = a.tax_included,
    shipping_address = a.shipping_address,
    placed_at = a.placed_at,
    placed_position = a.position, -- another one for each amendment: the days are marked even if the total stays
    version = a.version,
    position = a.position
  from amended as a
  where o.ctid = any (array(select a.place from amended as a)) and o.order_id = a.order_id
  returning o.placed_at, o.currency, o.total, o.status, a.placed_before, a.currency_before, a.total_before
),
voided_orders as (
  delete from orders as o
  where o.ctid = any (
    array(select c.place from changed as c where c.place is not null and c.event_type = '{VOIDED}')
  )
  returning o.placed_at, o.currency, o.total, o.status
),
changes as (
  select n.placed_at, n.currency, n.total, 1 as placed, (n.status = 'completed')::integer as completed
  from new_orders as n
  union all
  select m.placed_at, m.currency, m.total, 0,
    (m.status = 'completed')::integer - (m.status_before = 'completed')::integer
  from moved_orders as m
  where (m.status = 'completed') <> (m.status_before = 'completed')
  union all
  select a.placed_at, a.currency, a.total, 1, (a.status = 'completed')::integer from amended_orders as a
  union all
  select a.placed_before, a.currency_before, a.total_before, -1, -(a.status = 'completed')::integer
  from amended_orders as a
  union all
  select v.placed_at, v.currency, v.total, -1, -(v.status = 'completed')::integer from voided_orders as v
),
hours as (
  insert into revenue_by_hour as r (hour, currency, placed_count, order_count, revenue)
  select
    date_trunc('hour', c.placed_at, (select penstock.business_timezone())), c.currency,
    sum(c.placed), sum(c.completed), coalesce(sum(c.completed * c.total) filter (where c.completed <> 0), 0)
  from changes as c
  group by 1, 2
  on conflict (hour, currency) do update set
    placed_count = r.placed_count + excluded.placed_count,
    order_count = r.order_count + excluded.order_count,
    revenue = r.revenue + excluded.revenue
)
select {payload_sql.all_read("moments", "occurred_at")}, {payload_sql.all_read("changed", "alone")}
"""  # noqa: S608

PROJECTION = SqlProjection(
    name="orders",
    tables=("shop.orders", "shop.order_items", "public.revenue_by_hour"),
    event_types=_TYPES,
    statements=(_ADD_ITEMS, _ADVANCE_ORDERS),
    independent=True,
)
