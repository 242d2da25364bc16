"""The select that makes orders and credit notes of a file's lines, as `EventMapping` has it.

Written for files of half a million lines: expressions instead of SQL functions, and what only some files say, such as
discounts, shipping and taxes, is a step of its own, which finds no line in a file that does not say it.
"""

from itertools import product
from typing import Final

from penstock.ingest.files.target import MOMENT

_PARTS: Final = (
    "line_discount", "line_tax", "line_shipping", "line_shipping_tax", "line_shipping_discount", "order_discount",
    "order_tax", "order_shipping", "order_fees", "order_subtotal",
)  # fmt: skip


def _shown(number: str) -> str:
    """Money as imports write it, with at least three places."""
    return f"(case when scale({number}) <= 3 then round({number}, 3) else trim_scale({number}) end)"


_ITEM: Final = {
    "name": "l.product_name",
    "category": "l.category",
    "quantity": "l.quantity",
    "product_id": "l.product_id",
    "unit_price": f"{_shown('l.price')}::text",
}
_MORE_OF_ITEM: Final = {
    "amount": "l.amount::text",
    "discount": f"{_shown('l.line_discount')}::text",
    "tax": f"{_shown('l.line_tax')}::text",
}
_COLUMN_OF: Final = {"amount": "amount", "discount": "line_discount", "tax": "line_tax"}
_VARIANTS: Final = [
    [name for name, is_said in zip(_MORE_OF_ITEM, said, strict=True) if is_said]
    for said in product((False, True), repeat=len(_MORE_OF_ITEM))
]


def _item(said: list[str]) -> str:
    """A line with these of the further keys, in jsonb's own order: they need no sorting."""
    keys = _ITEM | {name: _MORE_OF_ITEM[name] for name in said}
    columns = ", ".join(f"{keys[name]} as {name}" for name in sorted(keys, key=lambda name: (len(name), name)))
    return f"cross join lateral (select {columns}) as {'_'.join(['item', *said])}"


def _which_item() -> str:
    """The variant of a line that has the keys of which it says something; the plainest first."""
    cases = []
    for said in _VARIANTS:
        null = [
            f"l.{_COLUMN_OF[name]} is {'not null' if name in said else 'null'}"
            for name in ("discount", "tax", "amount")
        ]
        cases.append(f"when {' and '.join(null)} then {'_'.join(['item', *said])}")
    return f"case {' '.join(cases)} end"


_SELECT: Final = """
with wanted as materialized (
  select distinct r.product_id from {rows} as r
  where (r.product_name is null or r.category is null)
    -- asked once: without a catalogue the lines need not be read twice; the order has the planner take the index
    and (
      select e.id from public.event_store as e where e.event_type = 'ProductListed' order by e.created_at limit 1
    ) is not null
), catalogue as materialized (
  select w.product_id, e.name, e.category
  from wanted as w
  -- product by product, by the index: two lines must not read a catalogue of a million. The ids of staged rows are
  -- collated as bytes, which is not how the store's index is.
  cross join lateral (
    select l.payload ->> 'name' as name, l.payload ->> 'category' as category
    from public.event_store as l
    where l.aggregate_id = w.product_id collate "default" and l.aggregate_type = 'product'
      and l.event_type = 'ProductListed'
      and not exists (select from penstock.undone_events as u where u.id = l.id)
    order by penstock.event_time(l.metadata, l.created_at) desc, l.version desc
    limit 1
  ) as e
), lines as (
  select
    r.ord, r.order_id, r.ordered_at, r.customer_id, r.country, r.currency, r.product_id, r.amount,
    r.status, r.cancelled_at, r.refunded_amount, r.refunded_at,
    case when r.quantity >= 0 then nullif(abs(r.line_discount), 0) end as line_discount,
    case when r.quantity >= 0 then nullif(r.line_tax, 0) end as line_tax,
    r.quantity < 0 as is_credit, abs(r.quantity) as quantity,
    coalesce(r.product_name, c.name) as product_name, coalesce(r.category, c.category) as category,
    coalesce(r.unit_price, round(r.amount / nullif(abs(r.quantity), 0), 6), 0) as price,
    coalesce(r.amount, abs(r.quantity) * r.unit_price) as line_total
  from {rows} as r
  left join catalogue as c on c.product_id = r.product_id
  order by r.order_id, is_credit, r.ord -- the aggregates below take the lines in this order
  offset 0
), grouped as (
  select
    min(l.ord) as first_ord, count(*) as lines, l.order_id, l.is_credit, min(l.ordered_at) as occurred_at,
    (array_agg(l.customer_id) filter (where l.customer_id is not null))[1] as customer_id,
    min(l.currency) as currency, min(l.currency) <> max(l.currency) as is_mixed,
    (array_agg(l.country) filter (where l.country is not null))[1] as country, <total>::text as total,
    (array_agg(l.status) filter (where l.status is not null))[1] as status,
    min(l.cancelled_at) as cancelled_at, max(l.refunded_amount) as refunded_amount, max(l.refunded_at) as refunded_at,
    array_agg(<which item>) as items
  from lines as l
  <items>
  group by l.order_id, l.is_credit
), said as materialized (
  select
    r.order_id, coalesce(sum(abs(r.line_discount)), 0) as line_discount, coalesce(sum(r.line_tax), 0) as line_tax,
    coalesce(sum(r.line_shipping_tax), 0) as shipping_tax,
    coalesce(sum(abs(r.line_shipping_discount)), 0) as shipping_discount,
    coalesce(max(r.order_shipping), sum(r.line_shipping), 0) + coalesce(max(r.order_fees), 0) as shipping,
    max(abs(r.order_discount)) as order_discount, max(r.order_tax) as order_tax,
    max(r.order_subtotal) as subtotal, max(r.order_total) as order_total, bool_or(r.tax_included) as tax_included
  from {rows} as r
  where num_nonnulls(<parts>) > 0 and r.quantity >= 0
  group by r.order_id
), orders as (
  select g.*, p.can_be, p.parts, coalesce(p.total, g.total) as paid
  from grouped as g
  left join said as s on s.order_id = g.order_id and not g.is_credit
  -- for orders of which something is said; `offset 0`: each step is computed once
  left join lateral (
    select
      p.total >= 0 and p.tax - p.on_top <= p.total as can_be, <shown total>::text as total,
      jsonb_strip_nulls(jsonb_build_object(
        'discount', <shown discount>::text, 'shipping', <shown shipping>::text, 'tax', <shown tax>::text,
        'tax_included', case when p.on_top < p.tax then true end
      )) as parts
    from (
      select
        a.tax, a.on_top, a.goods - a.discount + s.shipping + a.on_top as total,
        nullif(a.discount, 0) as discount, nullif(s.shipping, 0) as shipping, nullif(a.tax, 0) as shown_tax
      from (
        select t.goods, t.tax, t.on_top, t.discount + case
          -- a discount on shipping, which the file says in its total alone
          when s.subtotal is not null and s.order_total is not null
          then greatest(t.goods - t.discount + s.shipping + t.on_top - s.order_total, 0) else 0
        end as discount
        from (
          -- without a word, the tax is in the prices if the file's total is what they come to without it
          select d.*, case
            when coalesce(s.tax_included, d.goods - d.discount + s.shipping = s.order_total, false) then 0
            else d.tax
          end as on_top
          from (
            select g.total::numeric as goods,
              greatest(s.line_tax, coalesce(s.order_tax, s.line_tax + s.shipping_tax)) as tax,
              s.shipping_discount + greatest(s.line_discount, case
                when s.subtotal <= g.total::numeric then g.total::numeric - s.subtotal
                else coalesce(s.order_discount, 0)
              end) as discount
            where s.order_id is not null
            offset 0
          ) as d
          offset 0
        ) as t
        offset 0
      ) as a
      offset 0
    ) as p
  ) as p on true
)
select
  o.first_ord, o.lines, case when o.is_credit then 'credit_note' else 'order' end as aggregate_type,
  o.order_id as aggregate_id, null::uuid as id,
  case
    when o.is_mixed or not o.can_be then null when o.is_credit then 'CreditNoteIssued' else 'OrderPlaced'
  end as event_type,
  case
    when o.is_credit then '{{}}' when life.steps is null then array['OrderCompleted']
    else array(select step ->> 'type' from unnest(life.steps) as step)
  end as more,
  life.steps as more_details, 1 as schema_version, o.occurred_at, null::jsonb as metadata,
  -- one call for the whole of it: jsonb built of jsonb is copied item by item, and text is to be read again
  case
    when o.is_mixed then to_jsonb('its lines are in two currencies, and an amount in two is none'::text)
    when o.is_credit then to_jsonb(credit)
    when o.can_be is null then to_jsonb(payload)
    when o.can_be then to_jsonb(payload) || o.parts
    else to_jsonb('its discount, or the tax in its prices, is more than there is to pay'::text)
  end as payload
from orders as o
cross join lateral (
  select
    o.items, o.paid as total, o.country, o.currency, o.order_id, <moment> as placed_at, o.customer_id
) as payload
cross join lateral (
  select
    o.items, o.total, o.country, o.currency, <moment> as issued_at, o.customer_id, o.order_id as credit_note_id
) as credit
cross join lateral (
  select case when not o.is_credit and (o.status is not null or o.cancelled_at is not null or o.refunded_amount > 0)
    then shop.order_steps(
      o.order_id, o.currency, o.paid, <moment>, o.status, <cancelled>, o.refunded_amount, <refunded>
    )
  end as steps
  offset 0
) as life
"""


def _filled(select: str) -> str:
    """With the expressions that occur in it under a name."""
    said = {
        "<total>": _shown("sum(l.line_total)"),
        "<which item>": _which_item(),
        "<items>": "\n  ".join(map(_item, _VARIANTS)),
        "<parts>": ", ".join(f"r.{name}" for name in _PARTS),
        "<shown total>": _shown("p.total"),
        "<shown discount>": _shown("p.discount"),
        "<shown shipping>": _shown("p.shipping"),
        "<shown tax>": _shown("p.shown_tax"),
        "<moment>": MOMENT.replace("<at>", "o.occurred_at"),
        "<cancelled>": MOMENT.replace("<at>", "o.cancelled_at"),
        "<refunded>": MOMENT.replace("<at>", "o.refunded_at"),
    }
    for name, expression in said.items():
        select = select.replace(name, expression)
    return select


SELECT: Final = _filled(_SELECT)
