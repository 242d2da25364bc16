"""The types of value a field can have. One description serves three that must agree:

- the fast path asks for a byte pattern (`bare`, `quoted`): what it matches goes to COPY untouched;
- the slow path calls `read`, which gives the text to hand to Postgres or raises `InvalidValue` with the reason;
- SQL asks for the column type, and for `sql`, the expression that turns the staged text into the value.

A pattern may be narrower than `read` (the slow path decides then), never wider, and both leave the value to
the same SQL, so that a value cannot be read in two ways.
"""

from dataclasses import dataclass

BLANKS = " \t\r\n\v\f"

NEVER = rb"(?!)"
PLAIN_DELIMITERS = b",;|\t"
"""Characters that no `core` holds. Another delimiter, such as a colon, may be part of a bare value, a time say."""


class InvalidValue(ValueError):
    """A value that the field cannot have; the text says why, without repeating the value at length."""


class UnwantedValue(InvalidValue):
    """A value by which a record is none of those wanted, as a profile declares: no fault, the record is skipped."""


@dataclass(frozen=True)
class FieldType:
    """`core` is a pattern that holds neither quote, plain delimiter, backslash nor line end.

    No text may be matched by a pattern in two ways: a record of many such fields, tried in all of them, takes for ever.
    `exact` asks for a pattern of texts that are the value already; without it, `sql` may still turn them into it.
    """

    @property
    def sql_type(self) -> str:
        raise NotImplementedError

    @property
    def core(self) -> bytes:
        raise NotImplementedError

    @property
    def column_type(self) -> str:
        """The type for a table's column; staging may use a wider one."""
        return self.sql_type

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        return self.core if delimiter in PLAIN_DELIMITERS else NEVER

    def quoted(self, *, exact: bool = False) -> bytes:
        return b'"' + self.core + b'"'

    def read(self, text: str) -> str:
        raise NotImplementedError

    def sql(self, column: str) -> str:
        return column
