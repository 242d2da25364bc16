"""Rows of files into plain tables: copied when new, compared when known, refused with the table's own reason."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from penstock.errors import Conflict
from penstock.ingest.files import Import, advance_import, create_import, dry_run, register, rejects_csv, undo_import
from penstock.ingest.files.parse.types import Choice, Identifier, Integer, Number, Text, Timestamp
from penstock.ingest.files.target import Field, Table, Target, unregister
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
def settings(settings: Settings, connection: psycopg.Connection) -> Iterator[Settings]:
    connection.execute(TABLE)
    register(Target("things", FIELDS, Table("public.things", ("id",))))
    yield settings
    unregister("things")


def row(number: int, *, price: str = "2.50", note: str = "") -> str:
    return f"t{number},{number % 9 + 1},{price},open,2026-01-02 03:04:05Z,{note}\n"


def load(settings: Settings, text: str, **options: object) -> Import:
    created, _ = create_import(settings, "things", text.encode(), options=options)
    return advance_import(settings, created.id)


def account(done: Import) -> tuple[int, ...]:
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


@pytest.mark.parametrize("look", [load, lambda settings, text: dry_run(settings, "things", text.encode())])
def test_a_table_that_was_analyzed_while_it_was_filled_is_not_scanned_for_each_row(
    settings: Settings, connection: psycopg.Connection, look: Callable[[Settings, str], object]
) -> None:
    with psycopg.connect(settings.database_url) as other:
        other.execute(
            "insert into public.things select 't' || n, 1, 2.5, 'open', '2026-01-02', null"
            " from generate_series(1, 5000) as n"
        )
        connection.execute("analyze public.things")
    tuples = "select reltuples from pg_class where oid = 'public.things'::regclass"
    assert connection.execute(tuples).fetchone() == (0,)
    look(settings, HEADER + row(1) + row(2))
    assert connection.execute(tuples).fetchone() == (5000,)


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
    assert '"42","","rejected","","new row for relation' in text.replace("\r", "")
    assert '"73","","rejected","",' in text
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


def rows_of(connection: psycopg.Connection) -> list[object]:
    return connection.execute("select * from public.things order by id").fetchall()


def test_undo_takes_back_what_the_import_did_and_no_more(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, HEADER + row(1) + row(2))
    before = rows_of(connection)
    new = "".join(row(number, note='"two\nlines"') for number in range(10, 60))
    done = load(settings, HEADER + row(1, price="9.00") + row(2) + row(3) + new)
    connection.execute("update public.things set price = 77 where id = 't20'")
    undone = undo_import(settings, done.id)
    assert (undone.state, undone.result["undo"]) == ("undone", {"removed": 50, "restored": 1, "kept": 1})
    assert connection.execute("delete from public.things where id = 't20' returning price").fetchone() is not None
    assert rows_of(connection) == before
    with pytest.raises(Conflict, match="undone already"):
        undo_import(settings, done.id)
    again = load(settings, HEADER + row(1, price="9.00") + row(2) + row(3) + new)
    assert (again.id != done.id, account(again)) == (True, (53, 52, 0, 1, 1))


def test_undo_of_a_first_import_reads_its_file_again(settings: Settings, connection: psycopg.Connection) -> None:
    lines = [row(number, note="x" * (number % 300)) for number in range(60_000)]
    lines[50_000] = row(49_000, note="again")
    done = load(settings, HEADER + "".join(lines))
    assert connection.execute(
        "select count(*) filter (where compared), count(*) filter (where not compared) from raw.import_batches"
    ).fetchone() == (1, 2)
    assert undo_import(settings, done.id).result["undo"] == {"removed": 59_999, "restored": 1, "kept": 0}
    assert rows_of(connection) == []


def test_a_dry_run_tells_everything_and_writes_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    load(settings, HEADER + row(1) + row(2))
    before = rows_of(connection)
    text = HEADER + row(1) + row(2, price="3.00") + row(3) + row(3) + "=x,0,1,open,2026-01-01,\n"
    said = dry_run(settings, "things", text.encode())
    assert {name: said[name] for name in ("read", "loaded", "updated", "duplicate", "rejected")} == {
        "read": 5,
        "loaded": 2,
        "updated": 1,
        "duplicate": 2,
        "rejected": 1,
    }
    assert said["rows"][0]["quantity"] == 2
    assert said["rejects"] == [
        {
            "line": 6,
            "outcome": "rejected",
            "field": "quantity",
            "reason": "less than 1",
            "content": "'=x,0,1,open,2026-01-01,",
        }
    ]
    assert said["plan"]["mapping"]["id"] == "id"
    assert rows_of(connection) == before
    assert connection.execute("select count(*) from raw.imports").fetchone() == (1,)


def test_two_imports_at_once_do_not_disturb_each_other(settings: Settings, connection: psycopg.Connection) -> None:
    files = [HEADER + "".join(row(number) for number in range(start, 20_000, 2)) for start in (0, 1)]
    created = [create_import(settings, "things", text.encode())[0] for text in files]
    with ThreadPoolExecutor(4) as threads:
        # each import is advanced by two workers at the same time
        done = list(threads.map(lambda item: advance_import(settings, item.id), [*created, *created]))
    assert [account(item) for item in done] == [(10_000, 10_000, 0, 0, 0)] * 4
    assert connection.execute("select count(*) from public.things").fetchone() == (20_000,)
