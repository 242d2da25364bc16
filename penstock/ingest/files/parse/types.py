"""Every type of value a field can have: texts here, numbers and times from their own modules."""

import re
from dataclasses import dataclass
from functools import cached_property

from penstock import json_codec
from penstock.errors import InvalidInput
from penstock.ingest.files.parse.field_type import (
    BLANKS,
    NEVER,
    PLAIN_DELIMITERS,
    FieldType,
    InvalidValue,
    UnwantedValue,
)
from penstock.ingest.files.parse.numbers import Integer, Number
from penstock.ingest.files.parse.times import Day, Timestamp, is_iso

__all__ = [
    "BLANKS",
    "NEVER",
    "PLAIN_DELIMITERS",
    "Boolean",
    "Choice",
    "Code",
    "Day",
    "Email",
    "FieldType",
    "Identifier",
    "Integer",
    "InvalidValue",
    "Json",
    "Number",
    "Text",
    "Timestamp",
    "UnwantedValue",
    "is_iso",
]

_NO_BLANK_BEHIND = rb"(?<![\x09-\x0d\x20])"
_WHOLE_FLOAT = re.compile(r"([0-9]+)\.0+")
_EMAIL = re.compile(r'[^@\s\x00"]{1,64}@[^@\s\x00".]+(?:\.[^@\s\x00".]+)+')


@dataclass(frozen=True)
class Text(FieldType):
    """Any characters but NUL, without the blanks around it."""

    at_most: int = 2000

    @property
    def sql_type(self) -> str:
        return "text"

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        # no backslash: a lone \. ends COPY's input before Postgres 18. No blank at either end: never empty, never
        # to be trimmed.
        inner = rb'",\\\x00\r\n' if delimiter == b"," else rb'"\\\x00\r\n' + re.escape(delimiter)
        return rb"[^\x01-\x20" + inner + rb"][^" + inner + rb"]{0,%d}+" % (self.at_most - 1) + _NO_BLANK_BEHIND

    def quoted(self, *, exact: bool = False) -> bytes:
        # the first quote in the text decides between the two, so that no text is tried in both ways
        end = _NO_BLANK_BEHIND + rb'"(?!")'
        plain = rb'[^\x00-\x20"\\][^"\\\x00\r\n]{0,%d}+' % (self.at_most - 1) + end
        with_quotes = rb'(?:[^\x00-\x20"\\]|"")(?:[^"\\\x00\r\n]|""){0,%d}+' % (self.at_most - 1) + end
        return rb'"(?:' + plain + rb'|(?=[^"\\\x00\r\n]*+"")' + with_quotes + rb")"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if len(text) > self.at_most:
            raise InvalidValue(f"longer than {self.at_most} characters")
        if "\x00" in text:
            raise InvalidValue("has a NUL character, which Postgres cannot store")
        return text


@dataclass(frozen=True)
class Identifier(Text):
    """Text that names something. A number that a spreadsheet made a float (`17850.0`) is read as `17850`."""

    at_most: int = 200
    unwanted: tuple[str, str] | None = None  # first characters that make a record unwanted, and the reason

    def bare(self, delimiter: bytes, *, exact: bool = False) -> bytes:
        return self._guard(b"", exact) + super().bare(delimiter, exact=exact)

    def quoted(self, *, exact: bool = False) -> bytes:
        return self._guard(b'"', exact) + super().quoted(exact=exact)

    def _guard(self, quote: bytes, exact: bool) -> bytes:
        unwanted = b"(?!" + quote + b"[" + re.escape(self.unwanted[0].encode()) + b"])" if self.unwanted else b""
        return unwanted + b"(?!" + quote + (rb"\d++\.0)" if exact else rb"\d++\.00)")

    def read(self, text: str) -> str:
        text = super().read(text)
        if self.unwanted and text.startswith(tuple(self.unwanted[0])):
            raise UnwantedValue(self.unwanted[1])
        whole = _WHOLE_FLOAT.fullmatch(text)
        return whole[1] if whole else text

    def sql(self, column: str) -> str:
        return f"case when {column} like '%.0' then regexp_replace({column}, '^([0-9]+)\\.0$', '\\1') else {column} end"


@dataclass(frozen=True)
class Email(FieldType):
    """Something@somewhere.tld, without blanks."""

    at_most: int = 254

    @property
    def sql_type(self) -> str:
        return "text"

    @property
    def core(self) -> bytes:
        part = rb'[^@\x00-\x20\x7f-\xff\\",;|.]'
        return rb"[A-Za-z0-9][A-Za-z0-9_.+-]{0,62}+@(?:" + part + rb"{1,20}+\.){1,4}+" + part + rb"{2,20}+"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if len(text) > self.at_most or not _EMAIL.fullmatch(text):
            raise InvalidValue("not an e-mail address")
        return text


@dataclass(frozen=True)
class Choice(FieldType):
    values: tuple[str, ...]

    @property
    def sql_type(self) -> str:
        return "text"

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.values)

    @property
    def core(self) -> bytes:
        plain = [value.encode() for value in self.values if not re.search(r'[,;|\t"\\\r\n]', value)]
        return b"(?:" + b"|".join(map(re.escape, plain)) + b")" if plain else NEVER

    def read(self, text: str) -> str:
        text = text.strip(BLANKS)
        if text not in self._known:
            raise InvalidValue("none of " + ", ".join(self.values[:12]))
        return text


@dataclass(frozen=True)
class Code(FieldType):
    """A fixed number of capital letters, such as a currency."""

    letters: int = 3

    @property
    def sql_type(self) -> str:
        return "text"

    @property
    def core(self) -> bytes:
        return rb"[A-Z]{%d}" % self.letters

    def read(self, text: str) -> str:
        text = text.strip(BLANKS).upper()
        if not re.fullmatch(rf"[A-Z]{{{self.letters}}}", text):
            raise InvalidValue(f"not {self.letters} letters")
        return text


@dataclass(frozen=True)
class Boolean(FieldType):
    @property
    def sql_type(self) -> str:
        return "boolean"

    @property
    def core(self) -> bytes:
        return b"(?:true|false|t|f|yes|no|1|0)"

    def read(self, text: str) -> str:
        text = text.strip(BLANKS).lower()
        if text in {"true", "t", "yes", "y", "1", "on"}:
            return "true"
        if text in {"false", "f", "no", "n", "0", "off"}:
            return "false"
        raise InvalidValue("neither true nor false")


@dataclass(frozen=True)
class Json(FieldType):
    """A JSON object. Always read by the slow path: bytes alone do not show whether jsonb will take it."""

    at_most: int = 1 << 20

    @property
    def sql_type(self) -> str:
        return "jsonb"

    @property
    def core(self) -> bytes:
        return NEVER

    def read(self, text: str) -> str:
        try:
            value = json_codec.loads(text, field="value")
        except InvalidInput as error:
            raise InvalidValue(str(error).removeprefix("value: ")) from error
        if not isinstance(value, dict):
            raise InvalidValue("not a JSON object")
        return text.strip(BLANKS)
