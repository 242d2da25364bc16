-- Read models: what people query of orders, customers, products and inventory: rows that projections fold from the
-- event store, each in the transaction of its checkpoint; they can be rebuilt from position 0 at any time.
--   orders, order_items, revenue_by_hour     projection `orders`
--   customers                                projection `customers`
--   products                                 projection `products`
--   inventory_current, inventory_history     projection `inventory`
-- There are no foreign keys between them: events come as they happened, and a rebuild may stand at another position.
-- The check constraints are the border of what a figure can hold: an event beyond it is parked as a dead letter.

create schema if not exists shop;
comment on schema shop is 'Read models of the sample domain: orders, customers, products, inventory.';
revoke all on schema shop from public;
grant usage on schema shop to service_role, analyst;

create table shop.orders (
  order_id text not null,
  customer_id text,
  status text not null,
  currency text,
  country text,
  total numeric not null,
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
  constraint orders_total_check check (abs(total) < 1e15 and scale(total) <= 18)
) with (fillfactor = 80); -- each step updates the row: room for that on its page spares the indexes
create index orders_placed_at_idx on shop.orders (placed_at);
create index orders_customer_id_placed_at_idx on shop.orders (customer_id, placed_at);
comment on table shop.orders is 'One row an order, at its present status. Filled by the projection `orders`.';
comment on column shop.orders.status is 'The furthest step so far; `completed` and `cancelled` stay, unless the other of the two follows.';
comment on column shop.orders.total is 'As the event says it, else the sum of its items.';
comment on column shop.orders.placed_at is 'When it happened, not when it was stored. The figures of a day or month go by it.';
comment on column shop.orders.version is 'Version of the stream after the last event that is in this row.';
comment on column shop.orders.placed_position is 'Position of the event that placed it: leads back to the request, delivery or file.';
comment on column shop.orders.position is 'Position of the last event that is in this row.';

create table shop.order_items (
  order_id text not null,
  line integer not null,
  product_id text not null,
  name text,
  category text,
  quantity integer not null,
  unit_price numeric not null,
  amount numeric not null,
  constraint order_items_pkey primary key (order_id, line),
  constraint order_items_product_id_check check (product_id <> '' and length(product_id) <= 200),
  constraint order_items_unit_price_check check (abs(unit_price) < 1e15 and scale(unit_price) <= 18),
  constraint order_items_amount_check check (abs(amount) < 1e25 and scale(amount) <= 18)
);
create index order_items_product_id_idx on shop.order_items (product_id);
comment on table shop.order_items is 'The lines of the orders, numbered from 1 as they stand in the event. Filled by the projection `orders`.';
comment on column shop.order_items.amount is 'As the event says it (a receipt''s line total), else quantity × unit_price.';

create table public.revenue_by_hour (
  hour timestamptz not null,
  placed_count bigint not null,
  order_count bigint not null,
  revenue numeric not null,
  constraint revenue_by_hour_pkey primary key (hour)
);
comment on table public.revenue_by_hour is 'Live rollup by the hour in which orders were placed. Filled by the projection `orders`.';
comment on column public.revenue_by_hour.hour is 'Start of the hour in penstock.business_timezone(). After a change of zone: `penstock rebuild orders`.';
comment on column public.revenue_by_hour.placed_count is 'Orders placed, whatever became of them.';
comment on column public.revenue_by_hour.order_count is 'Completed orders.';

create table shop.customers (
  customer_id text not null,
  name text,
  email text,
  country text,
  registered_at timestamptz,
  first_order_at timestamptz,
  last_order_at timestamptz,
  constraint customers_pkey primary key (customer_id),
  constraint customers_customer_id_check check (customer_id <> '' and length(customer_id) <= 200)
);
comment on table shop.customers is 'One row a customer, registered or seen on an order. Filled by the projection `customers`.';
comment on column shop.customers.registered_at is 'Null for a customer known from orders alone.';
comment on column shop.customers.country is 'As registered, else of the latest order that names one.';

create table shop.products (
  product_id text not null,
  name text,
  category text,
  unit_price numeric,
  listed_at timestamptz,
  constraint products_pkey primary key (product_id),
  constraint products_product_id_check check (product_id <> '' and length(product_id) <= 200),
  constraint products_unit_price_check check (abs(unit_price) < 1e15 and scale(unit_price) <= 18)
);
comment on table shop.products is 'One row a product, listed or seen on an order line. Filled by the projection `products`.';
comment on column shop.products.name is 'As listed last, else as the latest order line names it.';
comment on column shop.products.listed_at is 'Null for a product known from order lines alone.';

create table shop.inventory_current (
  product_id text not null,
  on_hand bigint not null,
  reserved bigint not null,
  available bigint not null generated always as (on_hand - reserved) stored,
  position bigint not null,
  updated_at timestamptz not null,
  constraint inventory_current_pkey primary key (product_id)
) with (fillfactor = 70);
comment on table shop.inventory_current is 'One row a product: pieces on hand, reserved and available. Filled by the projection `inventory`.';
comment on column shop.inventory_current.updated_at is 'When the last change happened, not when it was stored.';

create table shop.inventory_history (
  position bigint not null,
  product_id text not null,
  event_type text not null,
  on_hand_change bigint not null,
  reserved_change bigint not null,
  on_hand_after bigint not null,
  reserved_after bigint not null,
  reason text,
  order_id text,
  occurred_at timestamptz not null,
  constraint inventory_history_pkey primary key (position)
);
create index inventory_history_product_id_position_idx on shop.inventory_history (product_id, position);
comment on table shop.inventory_history is 'Every change of inventory with the balance after it. Insert only. Filled by the projection `inventory`.';
comment on column shop.inventory_history.position is 'Position of the event: leads back to the request, delivery or file.';

-- A rebuild, which only the table's owner can run, may take out rows that were folded wrongly.
create trigger inventory_history_refuse_change before update or delete on shop.inventory_history
for each row when (current_setting('penstock.rebuilding', true) is distinct from 'on')
execute function penstock.refuse_change();
create trigger inventory_history_refuse_truncate before truncate on shop.inventory_history
for each statement execute function penstock.refuse_change();
alter table shop.inventory_history enable always trigger inventory_history_refuse_change;
alter table shop.inventory_history enable always trigger inventory_history_refuse_truncate;

alter table shop.orders enable row level security;
alter table shop.order_items enable row level security;
alter table public.revenue_by_hour enable row level security;
alter table shop.customers enable row level security;
alter table shop.products enable row level security;
alter table shop.inventory_current enable row level security;
alter table shop.inventory_history enable row level security;

create policy orders_read on shop.orders for select to service_role, analyst using (true);
create policy order_items_read on shop.order_items for select to service_role, analyst using (true);
create policy revenue_by_hour_read on public.revenue_by_hour for select to service_role, analyst using (true);
create policy customers_read on shop.customers for select to service_role, analyst using (true);
create policy products_read on shop.products for select to service_role, analyst using (true);
create policy inventory_current_read on shop.inventory_current for select to service_role, analyst using (true);
create policy inventory_history_read on shop.inventory_history for select to service_role, analyst using (true);

revoke all on
  shop.orders, shop.order_items, public.revenue_by_hour, shop.customers, shop.products,
  shop.inventory_current, shop.inventory_history
from public, anon, authenticated, service_role;
grant select on
  shop.orders, shop.order_items, public.revenue_by_hour, shop.customers, shop.products,
  shop.inventory_current, shop.inventory_history
to service_role, analyst;
