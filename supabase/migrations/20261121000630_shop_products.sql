-- Products: the read model of the projection `products`.

create table shop.products (
  product_id text not null,
  name text,
  named_at timestamptz,
  category text,
  categorised_at timestamptz,
  unit_price numeric,
  listed_at timestamptz,
  constraint products_pkey primary key (product_id),
  constraint products_product_id_check check (product_id <> '' and length(product_id) <= 200),
  constraint products_unit_price_check check (abs(unit_price) < 1e15 and scale(unit_price) <= 18)
);
-- Ids by their bytes: the order of the lists' pages, whatever the database's collation is.
create index products_product_id_idx on shop.products (product_id collate "C");
create index products_category_product_id_idx on shop.products (category, product_id collate "C")
where length(category) <= 200; -- a longer one, as a bare event may have it, is more than an index takes
comment on table shop.products is 'One row a product, listed or seen on an order line. Filled by the projection `products`.';
comment on column shop.products.product_id is 'The product''s id, as order lines name it.';
comment on column shop.products.name is 'As listed last, else as the latest order line names it.';
comment on column shop.products.named_at is 'When the order was placed whose line gives the name; null for a listed product.';
comment on column shop.products.category is 'As listed last, else as the latest order line that names one.';
comment on column shop.products.categorised_at is 'When the order was placed whose line gives the category; null for a listed product.';
comment on column shop.products.unit_price is 'As listed last; null for a product known from order lines alone.';
comment on column shop.products.listed_at is 'When it was listed last. Null for a product known from order lines alone.';
alter table shop.products enable row level security;
create policy products_read on shop.products for select to service_role, analyst using (true);
revoke all on shop.products from public, anon, authenticated, service_role;
grant select on shop.products to service_role, analyst;
