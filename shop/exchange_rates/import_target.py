"""Exchange rates: one line, one rate of one day in one direction, which takes the place of one that is stored.

Rows of a plain table and no events: a rate is nobody's deed, and the converted figures are made when they are read.
"""

from penstock.ingest.files.parse.types import Code, Day, Number
from penstock.ingest.files.target import Field, Table, Target

TARGET = Target(
    name="exchange_rates",
    fields=(
        Field("day", Day(), True, ("date", "rate_date", "rate_day")),
        Field("from_currency", Code(3), True, ("from", "base", "base_currency", "source_currency")),
        Field("to_currency", Code(3), True, ("to", "quote", "quote_currency", "target_currency")),
        Field("rate", Number(digits=12, places=12, positive=True), True, ("exchange_rate",)),
    ),
    into=Table("shop.exchange_rates", ("day", "from_currency", "to_currency")),
)
