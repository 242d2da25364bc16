-- Orders, their items, and the revenue of each hour: read models of the projection `orders`.

create table shop.orders (
  order_id text not null,
  customer_id text,
  status text not null,
  currency text not null,
  country text,
  total numeric not null,
  discount numeric not null default 0,
  shipping numeric not null default 0,
  tax numeric not null default 0,
  tax_included boolean not null default false,
  gross_sales numeric not null
    generated always as (total + discount - shipping - case when tax_included then 0 else tax end) stored,
  items_count bigint not null default 0,
  shipping_address text,
  payment_method text,
  transaction_id text,
  carrier text,
  tracking text,
  warehouse text,
  signature text,
  placed_at timestamptz not null,
  paid_at timestamptz,
  shipped_at timestamptz,
  delivered_at timestamptz,
  completed_at timestamptz,
  cancelled_at timestamptz,
  version integer not null,
  placed_position bigint not null,
  position bigint not null,
  constraint orders_pkey primary key (order_id),
  constraint orders_status_check
    check (status in ('placed', 'paid', 'shipped', 'delivered', 'completed', 'cancelled')),
  constraint orders_customer_id_check check (length(customer_id) <= 200),
  constraint orders_currency_check check (currency ~ '^[A-Z]{3}$'),
  constraint orders_total_check check (abs(total) < 1e15 and scale(total) <= 18),
  constraint orders_discount_check check (abs(discount) < 1e15 and scale(discount) <= 18),
  constraint orders_shipping_check check (abs(shipping) < 1e15 and scale(shipping) <= 18),
  constraint orders_tax_check check (abs(tax) < 1e15 and scale(tax) <= 18)
) with (fillfactor = 80); -- each step updates the row: room for that on its page
-- Ids by their bytes: the order of the lists' pages, whatever the database's collation is.
create index orders_placed_at_order_id_idx on shop.orders (placed_at, order_id collate "C");
create index orders_customer_id_placed_at_order_id_idx on shop.orders (customer_id, placed_at, order_id collate "C");
-- Nearly all are completed: left out, they cost nothing, and no plan for their figures goes by it.
create index orders_status_placed_at_order_id_idx on shop.orders (status, placed_at, order_id collate "C")
where status <> 'completed';
comment on table shop.orders is 'One row an order, at its present status. Filled by the projection `orders`.';
comment on column shop.orders.order_id is 'The order''s id: the stream order/<order_id>.';
comment on column shop.orders.customer_id is 'Who ordered; null if the event names nobody.';
comment on column shop.orders.status is 'The furthest step so far; `completed` and `cancelled` stay, unless the other of the two follows.';
comment on column shop.orders.currency is 'ISO 4217 code; `XXX`, which is that standard''s code for no currency, if the event names none. Nothing adds two of them.';
comment on column shop.orders.country is 'As the event gives it.';
comment on column shop.orders.total is 'What the order costs. As the event says it, else its items - discount + shipping + tax, unless that is included.';
comment on column shop.orders.discount is 'What the order was reduced by, that of its lines included. As the event says it, else the sum of what its lines say.';
comment on column shop.orders.shipping is 'What shipping costs.';
comment on column shop.orders.tax is 'The tax in the total, that of its lines included. As the event says it, else the sum of what its lines say.';
comment on column shop.orders.tax_included is 'Whether the prices contain the tax; else it is on top of them.';
comment on column shop.orders.gross_sales is 'What the lines cost before discounts: total + discount - shipping - tax, unless that is included.';
comment on column shop.orders.items_count is 'Pieces ordered, over all lines.';
comment on column shop.orders.shipping_address is 'Where it goes, as one text.';
comment on column shop.orders.payment_method is 'As the latest payment that says one.';
comment on column shop.orders.transaction_id is 'The payment''s id at the payment provider, as the latest payment that says one.';
comment on column shop.orders.carrier is 'As the latest shipping that says one.';
comment on column shop.orders.tracking is 'As the latest shipping that says one.';
comment on column shop.orders.warehouse is 'Where it was shipped from, as the latest shipping that says one.';
comment on column shop.orders.signature is 'Who signed for it, as the latest delivery that says so.';
comment on column shop.orders.placed_at is 'When it happened, not when it was stored. The figures of a day or month go by it.';
comment on column shop.orders.paid_at is 'When it was paid; null if it was not, or nobody said so.';
comment on column shop.orders.shipped_at is 'When it was shipped; null if it was not, or nobody said so.';
comment on column shop.orders.delivered_at is 'When it was delivered; null if it was not, or nobody said so.';
comment on column shop.orders.completed_at is 'When it was completed; null if it was not, or nobody said so.';
comment on column shop.orders.cancelled_at is 'When it was cancelled; null if it was not, or nobody said so.';
comment on column shop.orders.version is 'Version of the stream after the last event that is in this row.';
comment on column shop.orders.placed_position is 'Position of the event that says what it is, the placing or the latest amendment: leads back to the request, delivery or file.';
comment on column shop.orders.position is 'Position of the last event that is in this row.';
alter table shop.orders enable row level security;
create policy orders_read on shop.orders for select to service_role, analyst using (true);
revoke all on shop.orders from public, anon, authenticated, service_role;
grant select on shop.orders to service_role, analyst;

create table shop.order_items (
  order_id text not null,
  line integer not null,
  product_id text not null,
  name text,
  category text,
  quantity integer not null,
  unit_price numeric not null,
  amount numeric not null,
  discount numeric not null default 0,
  tax numeric,
  constraint order_items_pkey primary key (order_id, line),
  constraint order_items_product_id_check check (product_id <> '' and length(product_id) <= 200),
  constraint order_items_unit_price_check check (abs(unit_price) < 1e15 and scale(unit_price) <= 18),
  constraint order_items_amount_check check (abs(amount) < 1e25 and scale(amount) <= 18),
  constraint order_items_discount_check check (abs(discount) < 1e15 and scale(discount) <= 18),
  constraint order_items_tax_check check (abs(tax) < 1e15 and scale(tax) <= 18)
);
create index order_items_product_id_idx on shop.order_items (product_id);
comment on table shop.order_items is 'The lines of the orders, numbered from 1 in the order of the event. Filled by the projection `orders`.';
comment on column shop.order_items.order_id is 'The order: shop.orders.order_id.';
comment on column shop.order_items.line is 'Number of the line in the order, from 1.';
comment on column shop.order_items.product_id is 'The product: shop.products.product_id.';
comment on column shop.order_items.name is 'The product''s name as the event gives it.';
comment on column shop.order_items.category is 'Its category as the event gives it.';
comment on column shop.order_items.quantity is 'Pieces ordered.';
comment on column shop.order_items.unit_price is 'Price of one piece.';
comment on column shop.order_items.amount is 'What the line cost before discounts. As the event says it (a receipt''s line total), else quantity × unit_price.';
comment on column shop.order_items.discount is 'What the line was reduced by; 0 if the event does not say it of the line.';
comment on column shop.order_items.tax is 'The line''s part of the order''s tax; null if the event does not say it.';
alter table shop.order_items enable row level security;
create policy order_items_read on shop.order_items for select to service_role, analyst using (true);
revoke all on shop.order_items from public, anon, authenticated, service_role;
grant select on shop.order_items to service_role, analyst;

-- Lines are compared by what they cost: the catalogue may have changed names and categories since.
create function shop.order_lines(payload jsonb, keys text[] default '{quantity,unit_price,amount}') returns text[]
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(array_agg(l.line order by l.line), '{}')
  from (
    select concat_ws(E'\x1f', 'product ' || (i.item ->> 'product_id'), n.line) collate "C" as line
    from jsonb_array_elements(case when jsonb_typeof(payload -> 'items') = 'array' then payload -> 'items' else '[]' end) as i (item)
    cross join lateral (
      select string_agg(f.name || ' ' || case when i.item ->> f.name ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
        then trim_scale((i.item ->> f.name)::numeric)::text else i.item ->> f.name end, E'\x1f' order by f.place) as line
      from unnest(keys) with ordinality as f (name, place)
    ) as n
  ) as l
$$;
comment on function shop.order_lines(jsonb, text[]) is 'The lines of an order as texts that are equal if they say the same of the product and these keys; sorted.';
revoke execute on function shop.order_lines(jsonb, text[]) from public, anon, authenticated;
grant execute on function shop.order_lines(jsonb, text[]) to service_role;

-- What it says beside its lines, as numbers. `goods` is what the lines cost; null if the total cannot be read.
create function shop.order_parts(
  payload jsonb, out total numeric, out discount numeric, out shipping numeric, out tax numeric, out on_top numeric,
  out goods numeric
)
language sql immutable parallel safe
set search_path = ''
as $$
  select n.total, n.discount, n.shipping, n.tax, t.on_top, n.total + n.discount - n.shipping - t.on_top
  from (
    select
      max(v.value) filter (where v.name = 'total') as total,
      coalesce(max(v.value) filter (where v.name = 'discount'), 0) as discount,
      coalesce(max(v.value) filter (where v.name = 'shipping'), 0) as shipping,
      coalesce(max(v.value) filter (where v.name = 'tax'), 0) as tax
    from (
      select f.name, case when payload ->> f.name ~ '^[0-9]{1,30}([.][0-9]{1,18})?$' then (payload ->> f.name)::numeric end as value
      from unnest('{total,discount,shipping,tax}'::text[]) as f (name)
    ) as v
  ) as n
  cross join lateral (select case when payload -> 'tax_included' = 'true' then 0 else n.tax end as on_top) as t
$$;
comment on function shop.order_parts(jsonb) is
  'Total, discount, shipping and tax of an order; the tax that is on top of the prices; and what its lines cost.';
revoke execute on function shop.order_parts(jsonb) from public, anon, authenticated;
grant execute on function shop.order_parts(jsonb) to service_role;

-- The order with other parts, of which 0 is left out, as it is in any payload. Null if they make no order.
create function shop.with_order_parts(
  payload jsonb, goods numeric, discount numeric, shipping numeric, tax numeric, on_top numeric
)
returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  select (payload - '{discount,shipping,tax,tax_included}'::text[])
    || coalesce(jsonb_object_agg(n.name, case when scale(n.value) <= 3 then round(n.value, 3) else trim_scale(n.value) end::text)
      filter (where n.value <> 0 or n.name = 'total'), '{}')
    || case when tax > on_top then jsonb '{"tax_included": true}' else '{}' end
  from (values ('total', goods - discount + shipping + on_top), ('discount', discount), ('shipping', shipping), ('tax', tax)) as n (name, value)
  having min(n.value) >= 0 and tax - on_top <= goods - discount + shipping + on_top
$$;
comment on function shop.with_order_parts(jsonb, numeric, numeric, numeric, numeric, numeric) is
  'An order whose lines cost `goods`, with this discount, shipping and tax, of which `on_top` is not in the prices; null if the total would be less than 0 or than the tax in it.';
revoke execute on function shop.with_order_parts(jsonb, numeric, numeric, numeric, numeric, numeric) from public, anon, authenticated;
grant execute on function shop.with_order_parts(jsonb, numeric, numeric, numeric, numeric, numeric) to service_role;

-- An import calls it for each order that is stored and that the file says otherwise. A file that says nothing of
-- discount, shipping or tax leaves what is stored of them.
create function shop.amend_order(stored jsonb, given jsonb) returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  with keys as (
    select k.of_lines, '{quantity,unit_price,amount}'::text[] || k.of_lines as compared
    from (select array(
      select n.name from unnest('{discount,tax}'::text[]) as n (name)
      where exists (select from jsonb_array_elements(given -> 'items') as g (item) where g.item ? n.name)
    ) as of_lines) as k
  ), lines as (
    select shop.order_lines(stored, k.compared) as had, shop.order_lines(given, k.compared) as has, k.of_lines
    from keys as k
  ), compared as (
    select
      l.had = l.has as same,
      -- of each stored line at least as many
      not exists (
        select from unnest(l.had) as s (line)
        group by s.line
        having count(*) > (select count(*) from unnest(l.has) as g (line) where g.line = s.line)
      ) as whole,
      (
        select coalesce(sum(least(g.number, (select count(*) from unnest(l.had) as s (line) where s.line = g.line))), 0)
        from (select u.line, count(*) as number from unnest(l.has) as u (line) group by u.line) as g
      ) as known,
      not exists (
        select from jsonb_array_elements(case when jsonb_typeof(stored -> 'items') = 'array' then stored -> 'items' else '[]' end) as s (item)
        inner join jsonb_array_elements(given -> 'items') as g (item) on g.item ->> 'product_id' = s.item ->> 'product_id'
      ) as apart,
      -- lines that say the same, and of whose discount or tax the store knows more
      l.had = l.has and shop.order_lines(stored, '{discount,tax}') <> shop.order_lines(given, '{discount,tax}') as richer
    from lines as l
  ), header as (
    select given || jsonb_build_object(
      'customer_id', coalesce(given ->> 'customer_id', stored ->> 'customer_id'),
      'country', coalesce(given ->> 'country', stored ->> 'country'),
      -- both are UTC as imports and commands write it; without the Z, fractions of a second sort as text
      'placed_at', case
        when stored ->> 'placed_at' ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?Z$'
          and rtrim(stored ->> 'placed_at', 'Z') collate "C" < rtrim(given ->> 'placed_at', 'Z') collate "C"
        then stored ->> 'placed_at' else given ->> 'placed_at'
      end
    )
      || case when c.richer then jsonb_build_object('items', stored -> 'items') else '{}' end
      || case when given ->> 'shipping_address' is null and jsonb_typeof(stored -> 'shipping_address') = 'string'
        then jsonb_build_object('shipping_address', stored -> 'shipping_address') else '{}' end as said
    from compared as c
  ), parts as (
    select
      h.said, s.total as stored_total, s.goods as stored_goods, g.goods,
      case when given ? 'discount' then g.discount else s.discount end as discount,
      case when given ? 'shipping' then g.shipping else s.shipping end as shipping,
      case when given ? 'tax' then g.tax else s.tax end as tax, case when given ? 'tax' then g.on_top else s.on_top end as on_top,
      greatest(s.discount, g.discount) as most_discount, greatest(s.shipping, g.shipping) as most_shipping,
      greatest(s.tax, g.tax) as most_tax, s.on_top = s.tax and g.on_top = g.tax as is_on_top,
      s.discount + s.shipping + s.tax > 0 as stored_has_parts,
      (s.discount, s.shipping, s.tax, s.on_top) as stored_parts
    from header as h
    cross join shop.order_parts(stored) as s
    cross join shop.order_parts(given) as g
  ), amended as (
    select
      p.*,
      case when p.stored_has_parts
        then coalesce(shop.with_order_parts(p.said, p.goods, p.discount, p.shipping, p.tax, p.on_top), p.said) else p.said
      end as payload,
      p.stored_parts = (p.discount, p.shipping, p.tax, p.on_top) as same_parts
    from parts as p
  )
  select case
    when given ? 'credit_note_id' then 'null' -- one says what it says: another takes another id
    when c.same and a.same_parts and (a.said ->> 'customer_id', a.said ->> 'country', a.said ->> 'placed_at', a.said ->> 'currency')
      is not distinct from (stored ->> 'customer_id', stored ->> 'country', stored ->> 'placed_at', stored ->> 'currency')
    then null
    when c.whole or not c.apart then jsonb_build_object('payload', a.payload, 'known', c.known)
    -- an amount in two currencies is none
    when stored ->> 'currency' is distinct from given ->> 'currency' or a.stored_goods is null then 'null'
    else (
      -- what each says of the whole order counts once; what their lines say of it, together
      select coalesce(jsonb_build_object('known', 0, 'payload', shop.with_order_parts(
        a.said || jsonb_build_object('items', (stored -> 'items') || (given -> 'items')), a.stored_goods + a.goods,
        greatest(a.most_discount, l.discount), a.most_shipping, t.tax, case when a.is_on_top then t.tax else 0 end
      )), 'null')
      from (
        select coalesce(sum(p.discount), 0) as discount, coalesce(sum(p.tax), 0) as tax
        from jsonb_array_elements((stored -> 'items') || (given -> 'items')) as i (item)
        cross join shop.order_parts(i.item) as p
      ) as l
      cross join lateral (select greatest(a.most_tax, l.tax) as tax) as t
    )
  end
  from compared as c cross join amended as a
$$;
comment on function shop.amend_order(jsonb, jsonb) is
  'The order that is stored and the same order as a file has it become one: null if the file says nothing new; the file''s lines if they contain the stored ones, or correct them; both if they share no product; a JSON null if that cannot be one order. `known` is how many of the file''s lines were stored.';
revoke execute on function shop.amend_order(jsonb, jsonb) from public, anon, authenticated;
grant execute on function shop.amend_order(jsonb, jsonb) to service_role;

create table public.revenue_by_hour (
  hour timestamptz not null,
  currency text not null,
  placed_count bigint not null,
  order_count bigint not null,
  revenue numeric not null,
  constraint revenue_by_hour_pkey primary key (hour, currency)
);
comment on table public.revenue_by_hour is 'Live rollup by the hour in which orders were placed, and their currency. Filled by the projection `orders`.';
comment on column public.revenue_by_hour.hour is 'Start of the hour in penstock.business_timezone(). After a change of zone: `penstock rebuild orders`.';
comment on column public.revenue_by_hour.currency is 'Of the orders counted here: ISO 4217 code, `XXX` for none.';
comment on column public.revenue_by_hour.placed_count is 'Orders placed, whatever became of them.';
comment on column public.revenue_by_hour.order_count is 'Completed orders.';
comment on column public.revenue_by_hour.revenue is 'Sum of the totals of completed orders.';
alter table public.revenue_by_hour enable row level security;
create policy revenue_by_hour_read on public.revenue_by_hour for select to service_role, analyst using (true);
revoke all on public.revenue_by_hour from public, anon, authenticated, service_role;
grant select on public.revenue_by_hour to service_role, analyst;
