"""Customers: one line, one `CustomerRegistered`. What the customer's stream says already is a duplicate."""

from penstock.ingest.files.parse.types import Email, Identifier, Text, Timestamp
from penstock.ingest.files.target import MOMENT, EventMapping, Field, Target
from shop.profiles import shopify

_SELECT = """
select
  r.ord as first_ord, 1::bigint as lines, 'customer' as aggregate_type, r.customer_id as aggregate_id,
  null::uuid as id, 'CustomerRegistered' as event_type, array[]::text[] as more, 1 as schema_version,
  r.registered_at as occurred_at, null::jsonb as metadata,
  jsonb_build_object(
    'customer_id', r.customer_id, 'name', r.name, 'email', r.email, 'country', r.country,
    'registered_at', <moment>
  ) as payload
from {rows} as r
""".replace("<moment>", MOMENT.replace("<at>", "r.registered_at"))

TARGET = Target(
    name="customers",
    fields=(
        Field("customer_id", Identifier(), True, ("CustomerID", "customer", "client_id", "household_id", "id")),
        Field("name", Text(at_most=500), False, ("full name", "customer name")),
        Field("email", Email(), False, ("e-mail", "mail", "email address")),
        Field("country", Text(at_most=100), False, ("country code",)),
        Field(
            "registered_at", Timestamp(of_event=True), True, ("created_at", "signup date", "registration date", "date")
        ),
    ),
    into=EventMapping(_SELECT, repeat="latest", by="customer_id"),
    profiles=(shopify.CUSTOMERS,),
)
