"""Stripe: "Payments" of the Dashboard, Export.

Header and values: as public readers of that export have them. The shop's metadata are columns called `… (metadata)`,
which the export has when they are asked for. `Amount` is in units of the currency, not in cents; `Amount Refunded` is
all that was given back so far; times are UTC. A charge that failed, or that was not captured, brought no money.
Where the metadata call the order otherwise, `--field order_id=…` says how.
"""

from typing import Final

from penstock.ingest.files.target import Profile

PAYMENTS: Final = Profile(
    "stripe_payments",
    frozenset({"id", "createddateutc", "amount", "amountrefunded", "currency", "captured", "status"}),
    fields={
        "payment_id": {"column": "id"},
        "order_id": {"first": ["order_id (metadata)", "order_number (metadata)"]},
        "amount": {"column": "Amount"},
        "currency": {"column": "Currency"},
        "paid_at": {"column": "Created date (UTC)"},
        "method": {"first": ["Card Brand", "Payment Source Type"]},
        "refunded_amount": {"column": "Amount Refunded"},
        "refunded_at": {"column": "Refunded date (UTC)"},
    },
    rows=[
        {"column": "Status", "not_in": ["Failed", "Canceled", "Cancelled", "Blocked", "Incomplete", "Pending"]},
        {"column": "Captured", "in": ["true", "TRUE", "True"]},
    ],
    zone="UTC",
)
