"""The exports of shop systems, one file per system: how the importer reads a file that has a system's header.

A profile takes the price of the goods as it was before discounts, shipping and taxes, and those where the file says
them: of each line, or of the whole order in one or all of its lines. Only the columns named in `header` must be there;
of a field's other columns those count that a file has. A time, a currency or a country that an export does not give is
not made up.
"""
