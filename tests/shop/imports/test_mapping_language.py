"""What shops' files say, into the store: keys and times of several columns, values by tables, cells as above, zones."""

import json
from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from penstock.ingest.files import Import, advance_import, create_import, dry_run, register, undo, undo_import
from penstock.ingest.files.load import batches
from penstock.ingest.files.parse.types import Identifier, Text, Timestamp
from penstock.ingest.files.target import Field, Table, Target, unregister
from penstock.settings import Settings

NOTES = Target(
    "notes",
    (Field("id", Identifier(40), True), Field("owner", Text(), True), Field("at", Timestamp(), False)),
    Table("public.notes", ("id",)),
)


@pytest.fixture
def notes(settings: Settings, connection: psycopg.Connection) -> Iterator[Settings]:
    connection.execute("create table public.notes (id text primary key, owner text not null, at timestamptz)")
    register(NOTES)
    yield settings
    unregister("notes")


def load(settings: Settings, target: str, text: str, **options: Any) -> Import:
    created, _ = create_import(settings, target, text.encode(), options=options)
    return advance_import(settings, created.id)


def events(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select aggregate_id, event_type, payload, metadata ->> 'occurred_at' from public.event_store order by position"
    ).fetchall()


def test_orders_of_a_till_with_parts_of_keys_and_times(settings: Settings, connection: psycopg.Connection) -> None:
    text = (
        "Shop;Receipt;Day;Clock;Article;Qty;Price;Kind\n"
        "A;1;01 Dec 2010;08:26;P1;2;€ 1.250,50;sale\n"
        ";;;;P2;1;0,00 €;gift\n"
        "B;1;02 Dec 2010;09:00;P1;1;3,00;sale\n"
        "B;1;02 Dec 2010;09:00;P9;1;3,00;training\n"
    )
    carried = {"blank": "above"}
    done = load(
        settings,
        "orders",
        text,
        fields={
            "order_id": {"columns": ["Shop", "Receipt"], **carried},
            "ordered_at": {"columns": ["Day", "Clock"], "join": " ", **carried},
            "product_id": "Article",
            "currency": {"constant": "EUR"},
        },
        rows=[{"column": "Kind", "not_in": ["training"]}],
        dates={"ordered_at": "%d %b %Y %H:%M"},
        zone="America/New_York",
        decimal=",",
    )
    assert (done.error, done.rows_read, done.loaded) == (None, 4, 3)
    placed = [payload for _, event_type, payload, _ in events(connection) if event_type == "OrderPlaced"]
    assert [(order["order_id"], order["total"], order["placed_at"], order["currency"]) for order in placed] == [
        ("A-1", "2501.000", "2010-12-01T13:26:00Z", "EUR"),
        ("B-1", "3.000", "2010-12-02T14:00:00Z", "EUR"),
    ]
    assert [item["unit_price"] for item in placed[0]["items"]] == ["1250.500", "0.000"]
    (skipped,) = connection.execute("select line, reason from raw.import_rejects").fetchall()
    assert skipped == (5, "rows: Kind is 'training'")


def test_events_by_a_table_of_values_with_the_rest_as_payload(
    settings: Settings, connection: psycopg.Connection
) -> None:
    text = "order,status,when,carrier,weight\n7,delivered,1291191960,DHL,2.5\n7,lost,1291191961,,\n"
    text += "8,sent,2010-12-01 12:00,UPS,1\n"
    done = load(
        settings,
        "events",
        text,
        fields={
            "aggregate_type": {"constant": "parcel"},
            "aggregate_id": "order",
            "event_type": {"column": "status", "values": {"delivered": "ParcelDelivered", "sent": "ParcelSent"}},
            "occurred_at": "when",
            "payload": {"rest": True},
        },
        dates={"occurred_at": ["epoch", "iso"]},
    )
    assert (done.error, done.loaded, done.rejected) == (None, 2, 1)
    assert [(key, kind, payload) for key, kind, payload, _ in events(connection)] == [
        ("7", "ParcelDelivered", {"carrier": "DHL", "weight": "2.5"}),
        ("8", "ParcelSent", {"carrier": "UPS", "weight": "1"}),
    ]
    reason = "'lost' is not in its table of values (delivered, sent)"
    assert connection.execute("select line, field, reason from raw.import_rejects").fetchall() == [
        (3, "event_type", reason)
    ]


def test_json_by_paths_has_the_rest_as_payload(settings: Settings, connection: psycopg.Connection) -> None:
    line = {"id": "e1", "type": "Push", "repo": {"name": "a/b"}, "time": "2010-12-01T08:26:00Z", "size": 2.5}
    fields = {"aggregate_type": {"constant": "repo"}, "aggregate_id": {"path": "repo.name"}, "payload": {"rest": True}}
    done = load(settings, "events", json.dumps(line) + "\n", fields=fields)
    assert (done.error, done.loaded) == (None, 1)
    assert events(connection) == [("a/b", "Push", {"repo": {"name": "a/b"}, "size": 2.5}, "2010-12-01T08:26:00Z")]


@pytest.mark.parametrize("target", ["notes", "customers"])
def test_a_value_from_above_outlives_a_kill(
    notes: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    """Every step is a worker of its own, which knows only what the one before has committed."""
    monkeypatch.setattr(batches, "BATCH_BYTES", 64)
    lines = [f"{n},{f'o{n}' if n % 10 == 0 else ''},2010-12-01" for n in range(100)]
    text = "\n".join(["id,owner,date", *lines])
    of_target = {"notes": {"id": "id", "at": "date"}, "customers": {"customer_id": "id", "registered_at": "date"}}[
        target
    ]
    named = "owner" if target == "notes" else "name"
    fields = {**of_target, named: {"column": "owner", "blank": "above"}}
    created, _ = create_import(notes, target, text.encode(), options={"fields": fields})
    steps = 0
    while not (done := advance_import(notes, created.id, seconds=0)).is_final:
        steps += 1
    assert steps > 20
    assert (done.state, done.loaded, done.rejected) == ("completed", 100, 0)
    stored = {
        "notes": "select id, owner from public.notes",
        "customers": "select aggregate_id, payload ->> 'name' from public.event_store",
    }[target]
    assert dict(connection.execute(stored).fetchall()) == {str(n): f"o{n - n % 10}" for n in range(100)}  # type: ignore[arg-type]
    if target == "notes":
        reads = Mock(side_effect=undo.read_batches)
        monkeypatch.setattr(undo, "read_batches", reads)
        undone = undo_import(notes, created.id)
        assert reads.call_count == 1, "the file is read once, however many batches it came in"
        assert undone.result["undo"] == {"removed": 100, "restored": 0, "kept": 0}
        assert connection.execute("select count(*) from public.notes").fetchone() == (0,)


def test_a_zone_of_the_file_counts_before_the_settings(notes: Settings, connection: psycopg.Connection) -> None:
    text = "id,owner,at\n1,x,2010-07-01 12:00\n2,x,2010-07-01 12:00Z\n"
    assert load(notes, "notes", text, zone="Asia/Tokyo").loaded == 2
    rows = connection.execute("select at at time zone 'UTC' from public.notes order by id").fetchall()
    assert [str(moment) for (moment,) in rows] == ["2010-07-01 03:00:00", "2010-07-01 12:00:00"]


def test_framing_is_read_into_a_table_as_it_is(notes: Settings, connection: psycopg.Connection) -> None:
    text = 'Notes of 2010\n\nsep\nid\towner\tat\n1\tAnn\\tB\t\\N\n2\t"Bo""b"\t2010-12-01\n'
    done = load(notes, "notes", text, skip_rows=3, escape="backslash", zone="UTC")
    assert (done.error, done.loaded) == (None, 2)
    assert connection.execute("select owner from public.notes order by id").fetchall() == [("Ann\tB",), ('Bo"b',)]
    other = load(notes, "notes", "id,owner,at,\n3,'it''s, so',,\n4,\"x\",,\n", quote="'")
    assert (other.error, other.loaded) == (None, 2)
    owners = connection.execute("select owner from public.notes where id > '2' order by id").fetchall()
    assert owners == [("it's, so",), ('"x"',)]


def test_a_dry_run_shows_what_each_field_is_made_of(settings: Settings) -> None:
    fields = {"customer_id": {"columns": ["a", "b"]}, "registered_at": {"column": "c", "default": "2010-12-01"}}
    said = dry_run(settings, "customers", b"a,b,c,d\n1,2,,x\n", options={"fields": fields})
    assert said["plan"]["fields"] == {"customer_id": fields["customer_id"]}
    assert said["plan"]["mapping"] == {"c": "registered_at", "d": None}
    assert (said["loaded"], said["rows"][0]["customer_id"]) == (1, "1-2")
