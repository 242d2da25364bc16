"""Order lines through the real path: file, staging, events."""

import gzip

import psycopg
import pytest

from penstock.ingest.files import advance_import, create_import, rejects_csv, run
from penstock.settings import Settings

HEADER = b"InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = HEADER + (
    b"536365,85123A,WHITE HANGING HEART T-LIGHT HOLDER,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n"
    b"536366,22633,HAND WARMER UNION JACK,6,2010-12-01 08:28:00,1.85,,United Kingdom\n"
    b'536365,71053,"WHITE ""METAL"" LANTERN",6,2010-12-01 08:25:00,3.39,17850.0,United Kingdom\n'
    b"C536379,D,Discount,-1,2010-12-01 09:41:00,27.50,14527.0,United Kingdom\n"
    b"536367,84406B,CREAM CUPID,8,not a time,2.75,17850.0,United Kingdom\n"
    b"536367,84406B,CREAM CUPID,8,2010-12-01 09:41:00,0.0,17850.0,United Kingdom\n"
)


def test_lines_become_orders_and_every_line_is_accounted_for(
    settings: Settings, connection: psycopg.Connection
) -> None:
    created, repeated = create_import(settings, "orders", LINES)
    done = advance_import(settings, created.id)
    assert (done.state, done.error, repeated) == ("completed_with_rejects", None, False)
    assert (done.rows_read, done.loaded, done.skipped, done.rejected, done.duplicate) == (6, 4, 1, 1, 0)
    assert (done.held, done.pending) == (0, 0)
    rows = connection.execute(
        """select aggregate_id, event_type, version, payload, metadata ->> 'occurred_at', metadata ->> 'causation_id'
           from public.event_store order by position"""
    ).fetchall()
    assert [row[:3] for row in rows] == [
        ("536365", "OrderPlaced", 1),
        ("536365", "OrderCompleted", 2),
        ("536366", "OrderPlaced", 1),
        ("536366", "OrderCompleted", 2),
        ("C536379", "CreditNoteIssued", 1),
    ]
    assert rows[0][3] == {
        "order_id": "536365",
        "customer_id": "17850",
        "currency": "GBP",
        "country": "United Kingdom",
        "placed_at": "2010-12-01T08:25:00Z",
        "total": "35.640",
        "items": [
            {
                "product_id": "85123A",
                "name": "WHITE HANGING HEART T-LIGHT HOLDER",
                "category": None,
                "quantity": 6,
                "unit_price": "2.550",
            },
            {
                "product_id": "71053",
                "name": 'WHITE "METAL" LANTERN',
                "category": None,
                "quantity": 6,
                "unit_price": "3.390",
            },
        ],
    }
    assert rows[0][4:] == ("2010-12-01T08:25:00Z", f"import:{done.id}#line 2")
    assert rows[2][3]["customer_id"] is None
    assert rows[2][5] == f"import:{done.id}#line 3"


def test_rejects_tell_line_field_reason_and_content(settings: Settings) -> None:
    created, _ = create_import(settings, "orders", LINES)
    advance_import(settings, created.id)
    lines = "".join(rejects_csv(settings, created.id)).splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ['"6"', '"7"']
    assert ',"rejected","ordered_at","not a time such as' in lines[1]
    assert ',"skipped","unit_price","not more than 0: nothing was paid' in lines[2]


def test_the_same_file_again_is_the_same_import(settings: Settings, connection: psycopg.Connection) -> None:
    created, _ = create_import(settings, "orders", LINES)
    advance_import(settings, created.id)
    again, repeated = create_import(settings, "orders", LINES)
    assert (again.id, repeated, again.state) == (created.id, True, "completed_with_rejects")


def test_the_same_orders_in_another_file_are_duplicates(settings: Settings, connection: psycopg.Connection) -> None:
    first, _ = create_import(settings, "orders", LINES)
    advance_import(settings, first.id)
    second, _ = create_import(settings, "orders", gzip.compress(LINES))
    done = advance_import(settings, second.id)
    assert (done.rows_read, done.loaded, done.skipped, done.rejected, done.duplicate) == (6, 0, 1, 1, 4)
    assert connection.execute("select count(*) from public.event_store").fetchone() == (5,)


def test_an_order_of_another_currency_is_refused_line_by_line(settings: Settings) -> None:
    first, _ = create_import(settings, "orders", LINES)
    advance_import(settings, first.id)
    others = LINES.replace(b",85123A,", b",1,").replace(b",71053,", b",2,").replace(b",22633,", b",3,")
    changed, _ = create_import(settings, "orders", others, options={"constants": {"currency": "EUR"}})
    done = advance_import(settings, changed.id)
    assert (done.loaded, done.skipped, done.rejected, done.duplicate) == (0, 1, 5, 0)
    text = "".join(rejects_csv(settings, changed.id))
    reason = '"order_id","order 536365 is stored already with other content",'
    assert f'"2","","rejected",{reason}"536365,1,WHITE HANGING HEART' in text
    assert f'"4","","rejected",{reason}"536365,2,' in text


def test_of_orders_in_one_step_the_new_ones_go_in_and_the_known_ones_do_not(
    settings: Settings, connection: psycopg.Connection
) -> None:
    first, _ = create_import(settings, "orders", LINES)
    advance_import(settings, first.id)
    lines = LINES.splitlines()
    new = [lines[1].replace(b"536365", order) for order in (b"536400", b"536300", b"536399")]
    changed = lines[1].replace(b",6,", b",7,")
    text = b"\n".join([lines[0], new[0], changed, new[1], *lines[2:3], new[2]])
    mixed, _ = create_import(settings, "orders", text, actor="Ann \"\\ O'Hara")
    done = advance_import(settings, mixed.id)
    assert (done.state, done.loaded, done.rejected, done.duplicate) == ("completed", 4, 0, 1)
    assert done.result == {"facts": 4, "events": 7}
    rows = connection.execute(
        """select aggregate_id, version, metadata from public.event_store
           where metadata ->> 'correlation_id' = %s and event_type <> 'OrderAmended' order by position""",
        (str(mixed.id),),
    ).fetchall()
    places = [("536400", 2), ("536300", 4), ("536399", 6)]
    assert [row[:2] for row in rows] == [(order, version) for order, _ in places for version in (1, 2)]
    assert [row[2] for row in rows] == [
        {
            "correlation_id": str(mixed.id),
            "causation_id": f"import:{mixed.id}#line {line}",
            "actor": "Ann \"\\ O'Hara",
            "source": "import",
            "occurred_at": "2010-12-01T08:26:00Z",
        }
        for _, line in places
        for _ in (1, 2)
    ]


@pytest.mark.parametrize("rows_for_two", [10_000, 100])
def test_a_large_file_is_formed_bucket_by_bucket(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, rows_for_two: int
) -> None:
    monkeypatch.setattr(run, "ROWS_FOR_TWO", rows_for_two)
    monkeypatch.setattr(run, "ROWS_A_BUCKET", 300)
    lines = [f"{n % 500},P{n},1,2026-01-01,1.5" for n in range(2000)]
    text = "\n".join(["order_id,product_id,quantity,ordered_at,unit_price", *lines])
    created, _ = create_import(settings, "orders", text.encode())
    done = advance_import(settings, created.id)
    assert (done.loaded, done.pending, done.result) == (2000, 0, {"facts": 500, "events": 1000})
    assert done.progress["buckets"] == 7
    stored = connection.execute(
        "select count(*), sum((payload ->> 'total')::numeric) from public.event_store where event_type = 'OrderPlaced'"
    ).fetchone()
    assert stored == (500, 3000)


@pytest.mark.parametrize("rows_for_two", [10_000, 100])
def test_one_connection_or_two_form_the_same_events_in_the_order_of_the_file(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, rows_for_two: int
) -> None:
    monkeypatch.setattr(run, "ROWS_FOR_TWO", rows_for_two)
    monkeypatch.setattr(run, "EVENTS_A_STEP", 77)
    lines = [f"{900 - n % 301},P{n},1,2026-01-{n % 28 + 1:02d},1.5,{n if n % 3 == 1 else ''}" for n in range(2000)]
    text = "\n".join(["order_id,product_id,quantity,ordered_at,unit_price,customer_id", *lines])
    created, _ = create_import(settings, "orders", text.encode())
    done = advance_import(settings, created.id)
    assert (done.state, done.loaded, done.pending) == ("completed", 2000, 0)
    rows = connection.execute(
        """select e.aggregate_id, e.payload ->> 'customer_id', e.metadata ->> 'causation_id',
             (select string_agg(i ->> 'product_id', ' ') from jsonb_array_elements(e.payload -> 'items') as i),
             e.id = penstock.imported_event_id(e.aggregate_type, e.aggregate_id, e.event_type,
               (e.metadata ->> 'occurred_at')::timestamptz, null)
           from public.event_store as e order by e.position"""
    ).fetchall()
    expected = []
    for first in range(301):
        of_order = range(first, 2000, 301)
        customer = next((str(n) for n in of_order if n % 3 == 1), None)
        line = f"import:{done.id}#line {first + 2}"
        expected.append((str(900 - first), customer, line, " ".join(f"P{n}" for n in of_order), True))
        expected.append((str(900 - first), None, line, None, True))
    assert rows == expected


def test_staged_rows_that_a_crash_has_emptied_are_read_again(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "EVENTS_A_STEP", 40)
    lines = [f"{n % 100},P{n},{n % 10},2026-01-01,1.5" for n in range(1000)]
    text = "\n".join(["order_id,product_id,quantity,ordered_at,unit_price", *lines])
    created, _ = create_import(settings, "orders", text.encode())
    now, emptied = created, set()
    while not (now := advance_import(settings, created.id, seconds=0)).is_final:
        if now.state not in emptied and (now.state != "appending" or now.loaded):
            emptied.add(now.state)
            # what the recovery after a crash does to unlogged tables
            for (name,) in connection.execute(
                "select oid::regclass::text from pg_class where relpersistence = 'u' and relkind = 'r'"
            ).fetchall():
                connection.execute(f"truncate {name}")
    assert emptied >= {"forming", "appending"}
    assert (now.rows_read, now.loaded, now.rejected, now.duplicate) == (1000, 900, 100, 0)
    assert now.result == {"facts": 90, "events": 180}
    assert connection.execute("select count(*) from public.event_store").fetchone() == (180,)
    assert connection.execute("select count(*) from raw.import_rejects").fetchone() == (100,)
