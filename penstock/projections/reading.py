"""SQL expressions that read a payload leniently where there is one right answer, and refuse it where there is not.

Written as text instead of SQL functions: with the fixed search path that a function must have it cannot be inlined,
and a call for each event and field would cost more than all the rest of a projection.
"""

# Full dates of three centuries, and no words: `now` or `infinity` would mean another time at each rebuild.
_TIME = r"^(19|2[01])\d\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.]\d+)?)?\s?(Z|z|[+-]\d\d(:?\d\d)?)?)?$"


def time(text: str) -> str:
    """A `timestamptz` from RFC 3339 text; without an offset it is UTC. Null stays null."""
    return f"case when {text} ~ '{_TIME}' then ({text})::timestamptz else ('not a time: ' || ({text}))::timestamptz end"


def whole_number(text: str) -> str:
    """An `integer`; 3.0 is one, 2.5 is refused instead of rounded."""
    return f"trim_scale(({text})::numeric)::text::integer"


def identifier(document: str, key: str) -> str:
    """An id as text: a number loses its `.0`, an empty text is null, anything else is refused."""
    value = f"{document} -> '{key}'"
    text = f"{document} ->> '{key}'"
    return (
        f"case jsonb_typeof({value}) when 'string' then nullif({text}, '') "
        f"when 'number' then trim_scale(({text})::numeric)::text "
        f"when 'null' then null else ('{key} is no text: ' || ({text}))::numeric::text end"
    )


def elements(document: str, key: str) -> str:
    """The rows `(value, ordinality)` of a list; an absent one has none, anything but a list is refused."""
    return f"jsonb_array_elements(nullif({document} -> '{key}', 'null')) with ordinality"


OCCURRED_AT = time("e.metadata ->> 'occurred_at'")
PLACED_AT = "coalesce(" + time("e.payload ->> 'placed_at'") + f", {OCCURRED_AT}, e.created_at)"
