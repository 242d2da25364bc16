"""Records of every kind of field, mutated by bytes and by fields with what breaks importers."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from penstock.ingest.files.parse.types import (
    Boolean,
    Choice,
    Code,
    Email,
    Identifier,
    Integer,
    Json,
    Number,
    Text,
    Timestamp,
)
from penstock.ingest.files.target import EventMapping, Field, Table, Target

ISO = "%Y-%m-%d %H:%M:%S"
COLUMNS = (
    Field("id", Identifier(64), True),
    Field("mail", Email(), True),
    Field("quantity", Integer(1, 1_000_000), True),
    Field("delta", Integer(-(2**31), 2**31 - 1), False),
    Field("big", Integer(0, 2**63 - 1), False),
    Field("price", Number(10, 2, positive=True), True),
    Field("rate", Number(6, 4, signed=True), False),
    Field("currency", Code(3), True),
    Field("status", Choice(("open", "shut", "half-open")), True),
    Field("fine", Boolean(), False),
    Field("at", Timestamp(), True),
    Field("note", Text(40), False),
)


@dataclass(frozen=True)
class Variant:
    """A way to read the same records: `direct` into a table of typed columns, else staged and read by SQL."""

    name: str
    format: str = "csv"
    delimiter: str = ","
    dates: str = ISO
    decimal: str = "."
    direct: bool = True
    computed: bool = False

    @property
    def target(self) -> Target:
        fields = COLUMNS if self.format == "csv" else (*COLUMNS, Field("extra", Json(), False))
        return Target("fuzz", fields, Table("pg_temp.fuzz", ("id",)) if self.direct else EventMapping("", "id", "id"))

    @property
    def header(self) -> bytes:
        names = self.delimiter.join(item.name for item in COLUMNS)
        return f"{names}\n".encode() if self.format == "csv" else b""


VARIANTS = (
    Variant("csv"),
    Variant("days first", dates="%d/%m/%Y %H:%M"),
    Variant("months first, staged", dates="%m.%d.%Y", direct=False),
    Variant("csv, staged", direct=False),
    Variant("decimal comma", delimiter=";", decimal=","),
    Variant("computed", computed=True),
    Variant("json lines, computed and staged", format="jsonl", direct=False, computed=True),
    Variant("json lines", format="jsonl"),
    Variant("json lines, staged", format="jsonl", direct=False),
)

NASTY = [
    b"", b"\x00", b'"', b'""', b"'", b",", b";", b"\t", b"\r", b"\r\n", b"\n", b"\\", b"\\.", b"\\N", b"NULL", b" ",
    b"\xc3", b"\xe9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xe2\x80\xa8", b"\xc2\xa0", b"\xc2\x85",
    b"\xef\xbb\xbf", b"\x1a", b"\x0b", b"\x0c", b"\x7f", b"-", b"+", b"=", b"@", b".", b"..", b"0", b"00", b"-0",
    b"1e5", b"1E400", b"NaN", b"Infinity", b"-1", b"+5", b"1_000", b"0x1f", b"1,000", b"17850.0", b"9" * 30,
    "٣".encode(), "½".encode(), "é".encode(), "e\u0301".encode(), "😀".encode(), b"true", b"TRUE", b"t", b"2025-02-30",
    b"2024-02-29", b"2023-02-29", b"2000-02-29", b"1900-02-29", b"24:00:00", b"23:59:60", b"2025-1-1", b"Z", b"+14:00",
    b"+15:59", b"-00:00", b"now", b"today", b"infinity", b"epoch", b"0000-01-01", b"BC", b"2025-06-01T10:00",
    b"2025-06-01 10:00:00.123456", b"2025-06-01 10:00:00.1234567", b"20250601", b"01/02/2025", b"2147483647",
    b"2147483648", b"31/12/2025 1:02", b"29/02/2025 00:00", b"12.31.2025", b"1/1/25", b"31/4/2025",
    b"-2147483648", b"-2147483649", b"9223372036854775807", b"9223372036854775808", b"0.001", b"1.005",
    b"1.234,5", b"1.234", b"12,5", b"$5", b"\xe2\x82\xac 2.50", b"(3.00)",
    b"1,234.50", b"1'000", b"1,23", b"$(1)", b"2025-03-30 02:30:00",
    b"2025-10-26 02:30:00", b"0001-01-01", b"9999-12-31",
]  # fmt: skip
JSON_NASTY = [
    b"null", b"true", b"false", b"0", b"-0", b"1.0", b"17850.0", b"1e5", b"1E400", b"1e-400", b"NaN", b"Infinity",
    b"{}", b"[]", b'[1, "2", null]', b'{"a": {"b": [1.10, 1e2]}}', b'"\\u0000"', b'"\\ud83d"', b'"\\ud83d\\ude00"',
    b'"\\n"', b"12345678901234567890", b"0.12345678901234567890", b"0.1", b"2.50", b"2.505", b"-1", b"01", b"+1", b".5",
    b"5.", b'{"a": 1, "a": 2}', b'"\\/"', b'"\\x41"', b"'a'", b'"2025-02-30"', b'"open"', b'" open "', b"{", b"}", b"]",
    b'"', b'{"n": 9007199254740993}', b'{"n": 0.1000000000000000055}', b"[" * 70 + b"]" * 70, b"1" * 400, b'"\\u00e9"',
]  # fmt: skip


def mutated_records(rng: random.Random, number: int, variant: Variant) -> Iterator[bytes]:
    """Whole records with their line ends, most of them with a fault or two."""
    make, mutations = (
        (_row, (_mutate_bytes, _mutate_field, _mutate_field))
        if variant.format == "csv"
        else (_object, (_mutate_bytes, _mutate_member, _mutate_member))
    )
    for place in range(number):
        record = make(rng, place, variant)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
            record = rng.choice(mutations)(rng, record, variant)
        yield record + rng.choice((b"\n",) * 40 + (b"\r\n", b"\r", b""))


def _row(rng: random.Random, place: int, variant: Variant) -> bytes:
    moment = datetime(2025, rng.randrange(1, 13), rng.randrange(1, 29), 12, 30)  # noqa: DTZ001
    fields = [
        f"id-{place}", f"a{place}@example.com", str(rng.randrange(1, 1_000_000)), str(rng.randrange(-(2**31), 2**31)),
        str(rng.randrange(0, 2**40)), f"{rng.randrange(1, 10**6) / 100:.2f}".replace(".", variant.decimal),
        f"-{rng.random():.4f}".replace(".", variant.decimal), "EUR", "half-open",
        rng.choice(("true", "f", "1", "")), moment.strftime(variant.dates),
        rng.choice(("", "plain", '"quoted, text"', '"say ""hi"""', '"two\nlines"', "größe", '"ends "')),
    ]  # fmt: skip
    quoted = (f'"{item}"' if rng.random() < 0.05 and '"' not in item else item for item in fields)
    return variant.delimiter.join(quoted).encode()


def _object(rng: random.Random, place: int, variant: Variant) -> bytes:
    moment = datetime(2025, rng.randrange(1, 13), rng.randrange(1, 29), 12, 30)  # noqa: DTZ001
    record: dict[str, object] = {
        "id": rng.choice((place, f"id-{place}")), "mail": f"a{place}@example.com",
        "quantity": rng.choice((rng.randrange(1, 1_000_000), str(rng.randrange(1, 1_000_000)))),
        "delta": rng.randrange(-(2**31), 2**31), "big": rng.randrange(0, 2**40),
        "price": rng.choice((rng.randrange(1, 10**6) / 100, f"{rng.randrange(1, 10**6) / 100:.2f}")),
        "rate": -round(rng.random(), 4), "currency": "EUR", "status": "half-open",
        "fine": rng.choice((True, "f", 1, None)), "at": moment.strftime(variant.dates),
        "note": rng.choice(("", "plain", 'say "hi"', "two\nlines", "größe", "ends ", None)),
        "extra": rng.choice((None, {}, {"a": [1, 2.5, {"b": "ü"}]})),
    }  # fmt: skip
    members = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=rng.random() < 0.5)}" for key, value in record.items()
    ]
    if rng.random() < 0.1:
        rng.shuffle(members)
    return f"{{{', '.join(members)}}}".encode()


def _mutate_bytes(rng: random.Random, record: bytes, variant: Variant) -> bytes:
    place = rng.randrange(len(record) + 1)
    kind = rng.randrange(4)
    if kind == 0:
        return record[:place] + rng.choice(NASTY) + record[place:]
    if kind == 1:
        return record[:place] + record[place + rng.randrange(1, 4) :]
    if kind == 2:
        return record[:place] + bytes([rng.randrange(256)]) + record[place + 1 :]
    return record[:place] + record[place : place + rng.randrange(1, 20)] * 2 + record[place:]


def _mutate_field(rng: random.Random, record: bytes, variant: Variant) -> bytes:
    fields = record.split(variant.delimiter.encode())
    place = rng.randrange(len(fields))
    value = rng.choice(NASTY) if rng.random() < 0.7 else fields[rng.randrange(len(fields))]
    kind = rng.randrange(5)
    fields[place] = [
        value, fields[place] + value, value + fields[place], b'"' + value + b'"', b'"' + fields[place] + value + b'"',
    ][kind]  # fmt: skip
    return variant.delimiter.encode().join(fields)


def _mutate_member(rng: random.Random, record: bytes, variant: Variant) -> bytes:
    """Another value, or another key, for one of an object's members; cut by the text, since it need not be JSON."""
    members = record.split(b', "')
    place = rng.randrange(len(members))
    key, colon, value = members[place].partition(b": ")
    kind = rng.randrange(6)
    if kind == 0:
        value = rng.choice(JSON_NASTY)
    elif kind == 1:
        value = json.dumps(rng.choice(NASTY).decode(errors="replace")).encode()
    elif kind == 2:
        value = rng.choice((value + rng.choice(JSON_NASTY), b" " + value + b" ", b'"' + value.strip(b'"') + b' "'))
    elif kind == 3:
        value = rng.choice(members).partition(b": ")[2]
    elif kind == 4:
        key = rng.choice((key.upper(), key.capitalize(), key[:1] + b" -" + key[1:], rng.choice(NASTY) + key))
    else:
        key = rng.choice(members).partition(b": ")[0].strip(b'{"') + b'"'
    members[place] = key + colon + value
    return b', "'.join(members)
