"""Rows of files into plain tables: copied when new, compared when known, refused with the table's own reason."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from penstock.imports import advance_import, create_import, register, rejects_csv
from penstock.imports.kinds import Choice, Identifier, Integer, Number, Text, Timestamp
from penstock.imports.target import Field, Table, Target, unregister
from penstock.settings import Settings

FIELDS = (
    Field("id", Identifier(64), True),
    Field("quantity", Integer(1, 1_000_000), True),
    Field("price", Number(10, 2), True),
    Field("status", Choice(("open", "closed")), True),
    Field("at", Timestamp(), True),
    Field("note", Text(), False),
)
TABLE = """
create table public.things (
  id text primary key, quantity integer not null check (quantity <> 13), price numeric(12, 2) not null,
  status text not null, at timestamptz not null, note text
)
"""
HEADER = "id,quantity,price,status,at,note\n"


@pytest.fixture
def settings(settings: Settings, connection: psycopg.Connection, tmp_path: Path) -> Iterator[Settings]:
    connection.execute(TABLE)
    register(Target("things", FIELDS, Table("public.things", ("id",))))
    yield Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path / "uploads")
    unregister("things")


def row(number: int, *, price: str = "2.50", note: str = "") -> str:
    return f"t{number},{number % 9 + 1},{price},open,2026-01-02 03:04:05Z,{note}\n"


def load(settings: Settings, text: str, **options: object) -> "object":
    created, _ = create_import(settings, "things", text.encode(), options=options)
    return advance_import(settings, created.id)


def account(done: object) -> tuple[int, ...]:
    return tuple(getattr(done, name) for name in ("rows_read", "loaded", "rejected", "duplicate", "updated"))


def test_new_rows_are_copied_and_bad_ones_are_told(settings: Settings, connection: psycopg.Connection) -> None:
    bad = "x,0,1.00,open,2026-01-01,\ny,1,1.005,open,2026-01-01,\nz,1,1.00,shut,2026-02-30,\n"
    done = load(settings, HEADER + row(1) + bad + row(2, note=' "a ""quoted"" note" '.strip()))
    assert account(done) == (5, 2, 3, 0, 0)
    assert connection.execute("select id, price::text, note from public.things order by id").fetchall() == [
        ("t1", "2.50", None),
        ("t2", "2.50", 'a "quoted" note'),
    ]


def test_known_rows_are_compared(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, HEADER + row(1) + row(2) + row(3))
    before = connection.execute("select id, xmin::text from public.things where id <> 't2' order by id").fetchall()
    done = load(settings, HEADER + row(1) + row(2, price="9.99") + row(3) + row(4))
    assert account(done) == (4, 2, 0, 2, 1)
    after = connection.execute(
        "select id, xmin::text from public.things where id in ('t1', 't3') order by id"
    ).fetchall()
    assert after == before, "rows that did not change are not written"
    assert connection.execute("select price::text from public.things where id = 't2'").fetchone() == ("9.99",)


def test_of_lines_with_one_key_the_last_counts(settings: Settings, connection: psycopg.Connection) -> None:
    price_of_t1 = "select price::text from public.things where id = 't1'"
    done = load(settings, HEADER + row(1, price="1.00") + row(2) + row(1, price="3.00"))
    assert account(done) == (3, 2, 0, 1, 0)
    assert connection.execute(price_of_t1).fetchone() == ("3.00",)
    done = load(settings, HEADER + row(1, price="5.00") + row(1, price="3.00"))
    assert account(done) == (2, 0, 0, 2, 0)
    assert connection.execute(price_of_t1).fetchone() == ("3.00",)


def test_what_only_the_table_refuses_is_a_reject_with_its_line(settings: Settings) -> None:
    lines = [row(number) for number in range(100)]
    lines[40] = 'a40,13,1.00,open,2026-01-01,"an unlucky\n number"\n'
    lines[70] = "a70,13,1.00,open,2026-01-01,\n"
    created, _ = create_import(settings, "things", (HEADER + "".join(lines)).encode())
    done = advance_import(settings, created.id)
    assert account(done) == (100, 98, 2, 0, 0)
    text = "".join(rejects_csv(settings, created.id))
    assert '42,,,"new row for relation' in text.replace("\r", "")
    assert "73,,," in text
    assert '""things_quantity_check""' in text
    assert "a70,13,1.00" in text


def test_constants_defaults_and_left_out_columns(settings: Settings, connection: psycopg.Connection) -> None:
    text = "id,quantity,cost,junk,at\nt1,5,2.50,x,2026-01-02 03:04:05Z\nt2,,2.50,,2026-01-02 03:04:05Z\n"
    done = load(
        settings,
        text,
        mapping={"cost": "price", "junk": None},
        constants={"status": "open"},
        defaults={"quantity": "7"},
    )
    assert (done.state, done.error) == ("completed", None)
    assert connection.execute("select id, quantity, status, price::text from public.things order by id").fetchall() == [
        ("t1", 5, "open", "2.50"),
        ("t2", 7, "open", "2.50"),
    ]


def test_a_table_that_would_round_is_refused(settings: Settings, connection: psycopg.Connection) -> None:
    connection.execute("alter table public.things alter column price type numeric(12, 1)")
    done = load(settings, HEADER + row(1))
    assert (done.state, done.error) == ("failed", "target: public.things.price is numeric(12,1)")
