-- Customers: the read model of the projection `customers`.

create table shop.customers (
  customer_id text not null,
  name text,
  email text,
  country text,
  described_at timestamptz,
  registered_at timestamptz,
  first_order_at timestamptz,
  last_order_at timestamptz,
  constraint customers_pkey primary key (customer_id),
  constraint customers_customer_id_check check (customer_id <> '' and length(customer_id) <= 200)
);
-- Ids by their bytes: the order of the lists' pages, whatever the database's collation is.
create index customers_customer_id_idx on shop.customers (customer_id collate "C");
create index customers_country_customer_id_idx on shop.customers (country, customer_id collate "C")
where length(country) <= 200; -- a longer one, as a bare event may have it, is more than an index takes
comment on table shop.customers is 'One row a customer, registered or seen on an order. Filled by the projection `customers`.';
comment on column shop.customers.customer_id is 'The customer''s id, as orders name it.';
comment on column shop.customers.name is 'As of the latest registration.';
comment on column shop.customers.email is 'As of the latest registration.';
comment on column shop.customers.country is 'As of the latest registration, else of the latest order that names one.';
comment on column shop.customers.described_at is 'When that was: the latest registration, else the latest order that names a country. What is older changes neither.';
comment on column shop.customers.registered_at is 'When first registered. Null for a customer known from orders alone.';
comment on column shop.customers.first_order_at is 'When the earliest order was placed; null without one.';
comment on column shop.customers.last_order_at is 'When the latest order was placed; null without one.';
alter table shop.customers enable row level security;
create policy customers_read on shop.customers for select to service_role, analyst using (true);
revoke all on shop.customers from public, anon, authenticated, service_role;
grant select on shop.customers to service_role, analyst;
