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
) with (fillfactor = 80); -- each step updates the row: room for that on its page spares the indexes
create index orders_placed_at_idx on shop.orders (placed_at);
create index orders_customer_id_placed_at_idx on shop.orders (customer_id, placed_at);
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
comment on column shop.orders.transaction_id is 'The payment''s id with whoever took it, as the latest payment that says one.';
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
create function shop.order_lines(payload jsonb) returns text[]
language sql immutable parallel safe
set search_path = ''
as $$
  select coalesce(array_agg(l.line order by l.line), '{}')
  from (
    select concat_ws(E'\x1f', 'product ' || (i.item ->> 'product_id'), 'quantity ' || n.quantity, 'price ' || n.price, 'amount ' || n.amount)
      collate "C" as line
    from jsonb_array_elements(case when jsonb_typeof(payload -> 'items') = 'array' then payload -> 'items' else '[]' end) as i (item)
    cross join lateral (
      select
        max(v.value) filter (where v.name = 'quantity') as quantity,
        max(v.value) filter (where v.name = 'unit_price') as price,
        max(v.value) filter (where v.name = 'amount') as amount
      from (
        select f.name, case when i.item ->> f.name ~ '^-?[0-9]{1,30}([.][0-9]{1,30})?$'
          then trim_scale((i.item ->> f.name)::numeric)::text else i.item ->> f.name end as value
        from unnest('{quantity,unit_price,amount}'::text[]) as f (name)
      ) as v
    ) as n
  ) as l
$$;
comment on function shop.order_lines(jsonb) is 'The lines of an order as texts that are equal if they say the same of product, quantity, price and amount; sorted.';
revoke execute on function shop.order_lines(jsonb) from public, anon, authenticated;
grant execute on function shop.order_lines(jsonb) to service_role;

-- An import calls it for each order that is stored and that the file says otherwise.
create function shop.amend_order(stored jsonb, given jsonb) returns jsonb
language sql immutable parallel safe
set search_path = ''
as $$
  with lines as (
    select shop.order_lines(stored) as had, shop.order_lines(given) as has
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
      ) as apart
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
      end) as said
  )
  select case
    when given ? 'credit_note_id' then 'null' -- one says what it says: another takes another id
    when c.same and (h.said ->> 'customer_id', h.said ->> 'country', h.said ->> 'placed_at', h.said ->> 'currency')
      is not distinct from (stored ->> 'customer_id', stored ->> 'country', stored ->> 'placed_at', stored ->> 'currency')
    then null
    when c.whole or not c.apart then jsonb_build_object('payload', h.said, 'known', c.known)
    -- an amount in two currencies is none
    when stored ->> 'currency' is distinct from given ->> 'currency' or coalesce(stored ->> 'total', '') !~ '^[0-9]{1,30}([.][0-9]{1,18})?$'
    then 'null'
    else jsonb_build_object('known', 0, 'payload', h.said || jsonb_build_object(
      'items', (stored -> 'items') || (given -> 'items'),
      'total', (select case when scale(t.total) <= 3 then round(t.total, 3) else trim_scale(t.total) end::text
        from (select (stored ->> 'total')::numeric + (given ->> 'total')::numeric as total) as t)))
  end
  from compared as c cross join header as h
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
