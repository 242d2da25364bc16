"""The exports of shop systems, one file per system: how the importer reads a file that has a system's header.

A profile takes the price of the goods as it was before discounts, shipping and taxes: the columns with those show as
warnings until orders have a place for them. Only the columns named in `header` must be there; of a field's other
columns those count that a file has. A time, a currency or a country that an export does not give is not made up.
"""
