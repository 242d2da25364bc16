-- The sample domain's schema: read models, which projections fold from the event store, each in the transaction of its
-- checkpoint; they can be rebuilt from position 0 at any time.
-- There are no foreign keys between them: events come as they happened, and a rebuild may be at another position.
-- The check constraints are the border of what a figure can hold: an event beyond it is parked as a dead letter.

create schema if not exists shop;
comment on schema shop is 'Read models of the sample domain: orders, customers, products, inventory.';
revoke all on schema shop from public;
grant usage on schema shop to service_role, analyst;
