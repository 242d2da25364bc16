"""SQL expressions that read a payload leniently where there is one right answer, and refuse it where there is not.

Written as text instead of SQL functions: with the fixed search path that a function must have it cannot be inlined,
and a call for each event and field would cost more than all the rest of a projection.

What can fail is read in a first step of the statement, `with … as materialized`, and the statement ends with
`select all_read(…)`. Of a `with` query Postgres reads only what its plan asks for: joined to an empty table, a bad
value would be met by one plan and not by another, and a rebuild would park other events than were parked before.
"""


def time(text: str) -> str:
    """A `timestamptz` of the years 1900 to 2199 from RFC 3339 text; without an offset it is UTC. Null stays null.

    Words are refused, for `now` would mean another time at each rebuild; so is any C, which could be a BC. Comparisons
    instead of a pattern: they cost a fifth, and this is what a projection spends most of its time on.
    """
    plain = (
        f"{text} like '____-__-__%%' and {text} collate \"C\" >= '19' and {text} collate \"C\" < '22' "
        f"and {text} not like '%%C%%' and {text} not like '%%c%%'"
    )
    return f"case when {plain} then ({text})::timestamptz else ('not a time: ' || ({text}))::timestamptz end"


def whole_number(text: str) -> str:
    """An `integer`; 3.0 is one, 2.5 is refused instead of rounded."""
    whole = f"trim_scale(({text})::numeric)::text::integer"
    return _decimal(text, f"case when {text} like '%%.%%' then {whole} else ({text})::integer end", "integer")


def number(text: str) -> str:
    """A `numeric`."""
    return _decimal(text, f"({text})::numeric", "numeric")


def _decimal(text: str, read: str, kind: str) -> str:
    """From Postgres 16 on `0x1F` is a number, and so are `0o7` and `0b1`: not before, and to nobody else."""
    refused = f"('not a number: ' || ({text}))::{kind}"
    return f"case when translate({text}, 'xXoObB', '') <> {text} then {refused} else {read} end"


def stock_change(key: str) -> str:
    """The `integer` under a key of the payload: a whole number within its bounds, or such a text; `5`, `5.0`, `"5"`.

    `shop.inventory.inventory` reads the same payloads by the same rule, so that nothing counts here and not there;
    a number is a double in both. Anything else is refused.
    """
    text, value = f"(e.payload ->> '{key}')", f"(e.payload -> '{key}')"
    refused = f"('{key} is not a whole number: ' || left({text}, 100))::integer"
    return (
        f"case jsonb_typeof({value}) "
        f"when 'number' then "
        f"case when {text}::float8 = trunc({text}::float8) then {text}::float8::integer else {refused} end "
        f"when 'string' then "
        f"case when {text} ~ '^[+-]?0*[0-9]{{1,10}}([.]0*)?$' then {text}::numeric::integer else {refused} end "
        f"else {refused} end"
    )


def identifier(value: str, name: str) -> str:
    """An id as text, from a JSON value: a number loses its `.0`, an empty text is null, anything else is refused."""
    text = f"({value} #>> '{{}}')"
    return (
        f"case jsonb_typeof({value}) when 'string' then nullif({text}, '') "
        f"when 'number' then trim_scale({text}::numeric)::text "
        f"when 'null' then null else ('{name} is not a text: ' || {text})::numeric::text end"
    )


def elements(value: str) -> str:
    """The rows `(value, ordinality)` of a JSON list; an absent one has none, anything but a list is refused."""
    return f"jsonb_array_elements(nullif({value}, 'null')) with ordinality"


def all_read(step: str, *columns: str) -> str:
    """What the main query selects, so that every row of a materialised step is read, even what the plan leaves out."""
    return f"(select count(row({', '.join(f'r.{column}' for column in columns)})) from {step} as r)"  # noqa: S608


OCCURRED_AT = time("e.metadata ->> 'occurred_at'")
