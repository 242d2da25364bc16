"""What docs/event-store.md shows works as it stands there."""

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import inngest
import pytest

from penstock.event_store import NewEvent, append, append_bulk, load_aggregate, read_stream
from penstock.inngest import client
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.projections import PythonProjection, advance, projection
from penstock.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "event-store.md"


def example(kind: str) -> str:
    blocks = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks, kind
    return "".join(blocks)


def test_the_aggregate_loads(connection: Connection) -> None:
    reducer = run_example("python aggregate")["TICKET"]
    append(connection, "ticket", "7", "any", [NewEvent("TicketOpened", {}), NewEvent("TicketClosed", {})])
    assert load_aggregate(connection, reducer, "ticket", "7").state == "TicketClosed"
    assert load_aggregate(connection, reducer, "ticket", "7", at_version=1).state == "TicketOpened"


def test_the_first_example_appends_and_reads(connection: Connection) -> None:
    call, read = example("sql").strip().removesuffix(";").split(";\n")
    connection.execute(call.encode())
    rows = connection.execute(read.encode()).fetchall()
    assert [(event_type, payload) for _, event_type, payload in rows] == [("TicketOpened", {"subject": "Late parcel"})]


def test_the_audit_query_leads_to_the_request(connection: Connection) -> None:
    placed = NewEvent("OrderPlaced", {}, {"correlation_id": "c", "causation_id": "request 7", "source": "api"})
    reserved = NewEvent("StockReserved", {}, {"correlation_id": "c", "causation_id": str(placed.id)})
    shown = NewEvent("Shown", {}, {"correlation_id": "c", "causation_id": str(reserved.id)})
    append_bulk(connection, [("order", "1", "any", [placed]), ("inventory", "1", "any", [reserved, shown])])
    query = example("sql audit").replace(":event_id", "%s").rstrip(";\n")
    rows = connection.execute(query.encode(), (shown.id,)).fetchall()
    assert [row[2] for row in rows] == ["Shown", "StockReserved", "OrderPlaced"]
    assert rows[-1][-2:] == ("c", "request 7")


def test_an_event_that_names_itself_as_its_cause_ends_the_audit(connection: Connection) -> None:
    event_id = uuid4()
    append(connection, "order", "1", "any", [NewEvent("Odd", {}, {"causation_id": str(event_id)}, event_id)])
    query = example("sql audit").replace(":event_id", "%s").rstrip(";\n")
    assert len(connection.execute(query.encode(), (event_id,)).fetchall()) == 1


def test_the_upcaster_lifts_old_events(connection: Connection) -> None:
    append(connection, "ticket", "7", "no_stream", [NewEvent("TicketOpened", {"subject": "Late parcel"})])
    connection.execute(example("sql upcaster").encode())
    (event,) = read_stream(connection, "ticket", "7")
    assert event.payload == {"subject": "Late parcel", "priority": "normal"}
    assert event.schema_version == 2


def run_example(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    exec(example(kind), found)
    return found


def test_the_projection_fills_its_table(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "_registry", {})
    connection.execute(example("sql subscription").encode())
    assert isinstance(run_example("python subscription")["PROJECTION"], PythonProjection)
    append(connection, "ticket", "7", "any", [NewEvent("TicketOpened", {"subject": "Late parcel"})])
    assert advance(settings, "tickets").events == 1
    assert connection.execute("select ticket_id, subject from public.tickets").fetchall() == [("7", "Late parcel")]


def test_the_function_listens_to_the_stored_event(monkeypatch: pytest.MonkeyPatch) -> None:
    function = run_example("python function")["answer_ticket"]
    assert isinstance(function, inngest.Function)
    monkeypatch.setattr(client, "registered", [function])
    assert set(client.listened_types()) == {"TicketOpened"}


def test_the_reader_goes_on_from_its_checkpoint(
    settings: Settings, connection: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    follow = run_example("python reader")["follow"]
    append(connection, "ticket", "7", "any", [NewEvent("TicketOpened", {}), NewEvent("TicketClosed", {})])
    assert [follow(settings), follow(settings)] == [2, 0]
    assert capsys.readouterr().out.split()[1::2] == ["TicketOpened", "TicketClosed"]
    pool.close_pools()
