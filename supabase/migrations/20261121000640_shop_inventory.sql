-- Inventory, now and as it changed: read models of the projection `inventory`.

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
comment on column shop.inventory_current.product_id is 'The product: shop.products.product_id.';
comment on column shop.inventory_current.on_hand is 'Pieces in stock.';
comment on column shop.inventory_current.reserved is 'Of these, pieces promised to orders.';
comment on column shop.inventory_current.available is 'on_hand - reserved.';
comment on column shop.inventory_current.position is 'Position of the last event that is in this row.';
comment on column shop.inventory_current.updated_at is 'When the last change happened, not when it was stored.';
alter table shop.inventory_current enable row level security;
create policy inventory_current_read on shop.inventory_current for select to service_role, analyst using (true);
revoke all on shop.inventory_current from public, anon, authenticated, service_role;
grant select on shop.inventory_current to service_role, analyst;

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
comment on column shop.inventory_history.product_id is 'The product: shop.products.product_id.';
comment on column shop.inventory_history.event_type is 'What happened, such as InventoryReserved.';
comment on column shop.inventory_history.on_hand_change is 'Pieces that came (positive) or went.';
comment on column shop.inventory_history.reserved_change is 'Pieces reserved (positive) or released.';
comment on column shop.inventory_history.on_hand_after is 'Pieces in stock afterwards.';
comment on column shop.inventory_history.reserved_after is 'Pieces reserved afterwards.';
comment on column shop.inventory_history.reason is 'As the event gives it.';
comment on column shop.inventory_history.order_id is 'The order for which it happened, if any.';
comment on column shop.inventory_history.occurred_at is 'When it happened, not when it was stored.';
alter table shop.inventory_history enable row level security;
create policy inventory_history_read on shop.inventory_history for select to service_role, analyst using (true);
revoke all on shop.inventory_history from public, anon, authenticated, service_role;
grant select on shop.inventory_history to service_role, analyst;

-- A rebuild, which only the table's owner can run, may take out rows that were folded wrongly.
create trigger inventory_history_refuse_change before update or delete on shop.inventory_history
for each row when (current_setting('penstock.rebuilding', true) is distinct from 'on')
execute function penstock.refuse_change();
create trigger inventory_history_refuse_truncate before truncate on shop.inventory_history
for each statement execute function penstock.refuse_change();
alter table shop.inventory_history enable always trigger inventory_history_refuse_change;
alter table shop.inventory_history enable always trigger inventory_history_refuse_truncate;
