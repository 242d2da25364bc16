"""A date that no fact can have is refused at every entry, by one rule; what is stored already is read all the same."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from penstock.business_time import check_time
from penstock.event_store import NewEvent, append
from penstock.ingest.files import Import, advance_import, create_import
from penstock.ingest.webhooks import append_deliveries
from penstock.operations.doctor import run_checks
from penstock.postgres import migrations
from penstock.projections import advance
from penstock.settings import Settings
from tests.integration.http.conftest import Api
from tests.integration.ingest.webhooks.test_inbox import deliver, inbox
from tests.integration.ingest.webhooks.test_inbox import shop as shop  # the fixture

AHEAD = datetime.now(UTC) + timedelta(days=400)
OUTSIDE = [
    "1066-10-14T09:00:00Z",
    "1926-01-01T00:00:00Z",
    "1989-12-31T23:59:59Z",
    AHEAD.isoformat(),
    "9999-12-31T00:00Z",
]
INSIDE = ["1990-01-01T00:00:00Z", "2010-12-01T08:26:00+01:00", (datetime.now(UTC) + timedelta(hours=20)).isoformat()]
LINE = [{"product_id": "MUG", "quantity": 1, "unit_price": "2.550"}]


def _append(api: Api, event_type: str, payload: dict[str, Any], **metadata: str) -> int:
    event = {"event_type": event_type, "payload": payload, "metadata": metadata}
    answer = api.http.post("/v1/streams/order/O-1/events", json={"expected_version": "any", "events": [event]})
    return int(answer.status_code)


@pytest.mark.parametrize(("moments", "status"), [(OUTSIDE, 422), (INSIDE, 201)])
def test_http_refuses_them(api: Api, moments: list[str], status: int) -> None:
    for moment in moments:
        assert _append(api, "TicketOpened", {}, occurred_at=moment) == status, moment
        assert _append(api, "OrderPlaced", {"items": [], "placed_at": moment}) == status, moment
        assert _append(api, "CustomerRegistered", {"registered_at": moment}) == status, moment
        assert _append(api, "TicketOpened", {"placed_at": moment}) == 201  # whose meaning nobody here knows
        order = api.http.post("/v1/orders", json={"placed_at": moment, "items": LINE})
        assert order.status_code == status, moment


def test_a_delivery_with_one_is_parked_with_the_reason(shop: Settings, connection: psycopg.Connection) -> None:
    order = {"order_id": "O-1", "items": LINE}
    deliver(shop, {"type": "OrderPlaced", "data": order | {"placed_at": OUTSIDE[1]}}, id="msg_1")
    deliver(shop, {"type": "order.paid", "timestamp": OUTSIDE[3], "data": {"id": "A-1"}}, id="msg_2")
    deliver(shop, {"type": "OrderPlaced", "data": order | {"placed_at": INSIDE[1]}}, id="msg_3")
    append_deliveries(shop)
    rows = inbox(connection)
    assert [(id, status) for id, status, _, _ in rows] == [
        ("msg_1", "failed"),
        ("msg_2", "failed"),
        ("msg_3", "appended"),
    ]
    assert "data.placed_at" in rows[0][2]
    assert "before 1990-01-01" in rows[0][2]
    assert "timestamp" in rows[1][2]


def _load(settings: Settings, target: str, text: str, **options: Any) -> Import:
    created, _ = create_import(settings, target, text.encode(), options=options)
    return advance_import(settings, created.id)


HEADS = {
    "orders": ("order_id,product_id,quantity,unit_price,ordered_at", "{n},MUG,1,2.50,{at}"),
    "customers": ("customer_id,registered_at", "{n},{at}"),
    "inventory": ("product_id,delta,adjusted_at", "{n},5,{at}"),
    "products": ("product_id,name,listed_at", "{n},Mug,{at}"),
}
ISO = [("1066-10-14", False), ("1926-01-01", False), ("1989-12-30", False), ("1990-01-02", True), ("1991-01-01", True)]
TODAY = datetime.now(UTC).date()
RECENT = [(TODAY - timedelta(days=days)).isoformat() for days in (0, 1, 2, 40, 400)]
LATER = [(TODAY + timedelta(days=days)).isoformat() for days in (3, 40, 400)]


@pytest.mark.parametrize("target", HEADS)
def test_an_import_rejects_their_lines(settings: Settings, connection: psycopg.Connection, target: str) -> None:
    head, line = HEADS[target]
    days = [*ISO, *((day, True) for day in RECENT), *((day, False) for day in LATER)]
    text = "\n".join([head, *(line.format(n=number, at=day) for number, (day, _) in enumerate(days))])
    _load(settings, target, text)
    rejected = connection.execute("select line, field from raw.import_rejects order by line").fetchall()
    field = head.rpartition(",")[2]
    assert rejected == [(number + 2, field) for number, (_, good) in enumerate(days) if not good]
    for name in ("orders", "customers", "products", "inventory"):
        advance(settings, name)
    assert connection.execute("select count(*) from ops.dead_letters").fetchone() == (0,)


def test_an_import_rejects_them_in_any_way_of_writing(settings: Settings, connection: psycopg.Connection) -> None:
    days = ["13/1/1926", "14/1/2010", f"15/1/{TODAY.year + 1}", "31/12/1989", f"13/1/{TODAY.year - 1}"]
    _load(
        settings, "customers", "\n".join(["customer_id,registered_at", *(f"c{n},{day}" for n, day in enumerate(days))])
    )
    assert connection.execute("select line from raw.import_rejects order by line").fetchall() == [(2,), (4,), (5,)]


def test_imported_events_may_have_none_in_their_payload(settings: Settings, connection: psycopg.Connection) -> None:
    head = '{{"aggregate_type": "order", "occurred_at": "2026-01-01", "aggregate_id": "{}", "event_type": "{}"'
    line = head + ', "payload": {{"placed_at": "{}"}}}}'
    lines = [("O-1", "OrderPlaced", OUTSIDE[0]), ("O-2", "OrderPlaced", INSIDE[1]), ("O-3", "Other", OUTSIDE[0])]
    _load(settings, "events", "\n".join(line.format(*values) for values in lines))
    rows = connection.execute("select line, reason from raw.import_rejects").fetchall()
    assert [number for number, _ in rows] == [1]
    assert "payload.placed_at: 1066-10-14 is before 1990-01-01" in rows[0][1]


def test_what_is_stored_already_is_read(settings: Settings, connection: psycopg.Connection) -> None:
    """Older than the window, but a time: the store holds it, so it counts."""
    placed = NewEvent("OrderPlaced", {"placed_at": "1950-01-01T00:00:00Z", "total": "5", "items": []})
    append(connection, "order", "O-1", "any", [placed])
    advance(settings, "orders")
    assert connection.execute("select extract(year from placed_at) from shop.orders").fetchone() == (1950,)


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/Los_Angeles"])
def test_sql_and_python_have_one_rule(
    connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    monkeypatch.setenv("PENSTOCK_TIMEZONE", zone)
    monkeypatch.setenv("PENSTOCK_EARLIEST_DAY", "2005-03-01")
    migrations.migrate(connection, timezone=zone, earliest_day=date(2005, 3, 1))
    edges = [datetime(2005, 3, 1, tzinfo=UTC) + timedelta(hours=hours) for hours in range(-24, 25)]
    edges += [datetime.now(UTC) + timedelta(days=1, minutes=minutes) for minutes in (-5, 5)]
    for edge in edges:
        assert connection.execute("select penstock.is_plausible_time(%s)", (edge,)).fetchone() == (_is_plausible(edge),)


def _is_plausible(moment: datetime) -> bool:
    try:
        return check_time(moment) == moment
    except ValueError:
        return False


def test_doctor_sees_another_earliest_day_in_the_database(settings: Settings) -> None:
    found = {check.name: check for check in run_checks(replace(settings, earliest_day=date(2000, 1, 1)))}
    assert "PENSTOCK_EARLIEST_DAY is 2000-01-01, the database has 1990-01-01" in found["timezone"].message
