"""Files that belong together: records of further files, found by a key, in one import with one account."""

import gzip
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.errors import InvalidInput, NotFound
from penstock.ingest.files import Import, advance_import, create_import, dry_run, store_joined
from penstock.ingest.files.load import batches
from penstock.ingest.files.parse import reader
from penstock.ingest.files.storage.abandoned import sweep
from penstock.ingest.files.storage.stored_files import open_file
from penstock.settings import Settings
from tests.integration.ingest.files.test_killed import advanced_under_fire

LINES = "ticket_id,part,quantity,price\nT1,P1,1,2.50\nT1,P2,2,1.00\nT2,P1,1,2.50\n"
TICKETS = "id,opened,subject,desk\nT1,2026-01-05,leak,D1\nT2,2026-01-06,noise,D2\nT3,2026-01-07,smell,D1\n"
JOIN = {"file": "tickets.csv", "on": {"ticket_id": "id"}}
FIELDS = {"opened_at": "tickets.opened", "title": "tickets.subject"}


def created(settings: Settings, lines: str, joined: dict[str, str | bytes], **options: Any) -> Import:
    contents = {name: text.encode() if isinstance(text, str) else text for name, text in joined.items()}
    said = store_joined(settings, options, contents)
    return create_import(settings, "tickets", lines.encode(), options=said)[0]


def load(settings: Settings, lines: str, joined: dict[str, str | bytes] | None = None, **options: Any) -> Import:
    options = {"join": [JOIN], "fields": FIELDS, **options}
    return advance_import(settings, created(settings, lines, joined or {"tickets.csv": TICKETS}, **options).id)


def tickets(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(
        """select aggregate_id, payload ->> 'title', (payload ->> 'opened_at')::timestamptz::date::text,
             jsonb_array_length(payload -> 'lines')
           from public.event_store where event_type = 'TicketOpened' order by 1"""
    ).fetchall()


def left_out(settings: Settings, connection: psycopg.Connection, done: Import) -> list[tuple[Any, ...]]:
    return connection.execute(
        "select line, outcome, reason from raw.import_rejects where import_id = %s order by line", (done.id,)
    ).fetchall()


def staged(connection: psycopg.Connection) -> list[str]:
    rows = connection.execute("select tablename from pg_tables where schemaname = 'staging' and tablename ~ '^import_'")
    return [name for (name,) in rows]


def test_each_line_has_the_columns_of_the_record_with_its_key(
    settings: Settings, connection: psycopg.Connection
) -> None:
    done = load(settings, LINES)
    assert (done.state, done.rows_read, done.loaded) == ("completed", 3, 3)
    assert tickets(connection) == [("T1", "leak", "2026-01-05", 2), ("T2", "noise", "2026-01-06", 1)]
    assert done.result["joined"] == [
        {"file": "tickets.csv", "read": 3, "used": 2, "unused": 1, "repeated": 0, "rejected": 0}
    ]
    assert done.result["warnings"] == ["tickets.csv: 1 of 3 records belong to no line of the file"]
    assert staged(connection) == []
    assert done.as_json()["plan"]["joins"] == [
        {
            "file": "tickets.csv",
            "on": {"ticket_id": "id"},
            "columns": ["tickets.opened", "tickets.subject", "tickets.desk"],
            "required": True,
        }
    ]


def test_columns_that_are_taken_by_a_fields_name_are_recognised(
    settings: Settings, connection: psycopg.Connection
) -> None:
    taken = {**JOIN, "take": {"opened": "created_at", "subject": "subject"}}
    assert load(settings, LINES, join=[taken], fields={}).state == "completed"
    assert [row[1:3] for row in tickets(connection)] == [("leak", "2026-01-05"), ("noise", "2026-01-06")]


def test_a_line_without_its_record_is_rejected_and_its_ticket_held(
    settings: Settings, connection: psycopg.Connection
) -> None:
    lines = LINES + "T4,P1,1,1.00\n,P1,1,1.00\nT2,P3,0,1.00\n"
    done = load(settings, lines)
    assert (done.loaded, done.rejected, done.held) == (2, 3, 1)
    assert left_out(settings, connection, done)[1:] == [
        (5, "rejected", "ticket_id 'T4' is not in tickets.csv"),
        (6, "rejected", "ticket_id is empty: nothing to find in tickets.csv"),
        (7, "rejected", "less than 1"),
    ]
    assert left_out(settings, connection, done)[0][:2] == (4, "held")
    assert [row[0] for row in tickets(connection)] == ["T1"]


def test_what_is_not_required_is_empty_where_it_is_missing(settings: Settings, connection: psycopg.Connection) -> None:
    lines = "ticket_id,part,quantity,price,opened_at\nT1,P1,1,1.00,2026-02-01\nT9,P1,1,1.00,2026-02-01\n"
    optional = {**JOIN, "required": False}
    done = load(settings, lines, join=[optional], fields={"title": "tickets.subject"})
    assert (done.state, done.loaded) == ("completed", 2)
    assert [row[:2] for row in tickets(connection)] == [("T1", "leak"), ("T9", None)]


def test_filters_see_joined_columns_and_skip_without_them_what_they_can(
    settings: Settings, connection: psycopg.Connection
) -> None:
    lines = LINES + "T9,P1,1,1.00\nT9,gift,1,1.00\n"
    rows = [{"column": "tickets.desk", "in": ["D1"]}, {"column": "part", "not_in": ["gift"]}]
    done = load(settings, lines, rows=rows)
    assert (done.loaded, done.skipped, done.rejected) == (2, 2, 1)
    assert left_out(settings, connection, done) == [
        (4, "skipped", "rows: tickets.desk is 'D2', none of D1"),
        (5, "rejected", "ticket_id 'T9' is not in tickets.csv"),
        (6, "skipped", "rows: part is 'gift'"),
    ]


def test_files_are_joined_one_by_the_other_and_ids_compare_as_ids_do(
    settings: Settings, connection: psycopg.Connection
) -> None:
    desks = gzip.compress(b"no;town\n17;Lyon\n18;Nancy\n")
    joins = [JOIN, {"file": "desks.csv.gz", "on": {"tickets.desk": "no"}}]
    text = TICKETS.replace("D1", "17.0").replace("D2", " 18 ")
    done = load(
        settings,
        LINES,
        {"tickets.csv": text, "desks.csv.gz": desks},
        join=joins,
        fields={**FIELDS, "title": "desks.town"},
    )
    assert done.state == "completed"
    assert [row[:2] for row in tickets(connection)] == [("T1", "Lyon"), ("T2", "Nancy")]
    assert [(each["file"], each["used"]) for each in done.result["joined"]] == [("tickets.csv", 2), ("desks.csv.gz", 2)]


def test_a_key_of_several_columns_and_one_that_stands_in_the_line_above(
    settings: Settings, connection: psycopg.Connection
) -> None:
    lines = "shop,ticket_id,part,quantity,price\nA,T1,P1,1,1.00\n,,P2,1,1.00\nB,T1,P1,1,1.00\n"
    joined = "id,shop,opened\nT1,A,2026-01-05\nT1,B,2026-01-06\n"
    above = {"columns": ["shop", "ticket_id"], "blank": "above"}
    done = load(
        settings,
        lines,
        {"tickets.csv": joined},
        join=[{**JOIN, "on": {"ticket_id": "id", "shop": "shop"}}],
        fields={"ticket_id": above, "opened_at": "tickets.opened"},
    )
    assert done.state == "completed"
    assert tickets(connection) == [("A-T1", None, "2026-01-05", 2), ("B-T1", None, "2026-01-06", 1)]


def test_days_of_a_joined_column_are_found_out_from_all_of_it(
    settings: Settings, connection: psycopg.Connection
) -> None:
    text = TICKETS.replace("2026-01-05", "5/1/2026").replace("2026-01-06", "13/1/2026")
    assert load(settings, LINES, {"tickets.csv": text}).state == "completed"
    assert [row[2] for row in tickets(connection)] == ["2026-01-05", "2026-01-13"]


def test_an_import_that_fails_with_its_plan_leaves_no_table(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, LINES, {"tickets.csv": TICKETS.replace("2026-01-05", "5/1/2026").replace("2026-01-06", "")})
    assert done.state == "failed"
    assert "is ambiguous" in str(done.error)
    assert staged(connection) == []


@pytest.mark.parametrize(("repeated", "title"), [("first", "leak"), ("last", "drip"), (None, None)])
def test_of_several_records_with_one_key_the_caller_says_which_counts(
    settings: Settings, connection: psycopg.Connection, repeated: str | None, title: str | None
) -> None:
    text = TICKETS + "T1,2026-01-05,drip,D1\n"
    done = load(settings, LINES, {"tickets.csv": text}, join=[{**JOIN, "repeated": repeated}])
    if repeated is None:
        assert (done.state, done.rows_read) == ("failed", 0)
        assert "tickets.csv has id 'T1' in lines 2 and 5, which differ" in str(done.error)
        assert staged(connection) == []
        return
    assert tickets(connection)[0][1] == title
    assert done.result["joined"] == [
        {"file": "tickets.csv", "read": 4, "used": 2, "unused": 1, "repeated": 1, "rejected": 0}
    ]


def test_records_that_say_the_same_twice_are_one(settings: Settings, connection: psycopg.Connection) -> None:
    done = load(settings, LINES, {"tickets.csv": TICKETS + TICKETS.splitlines()[1]})
    assert (done.state, done.result["joined"][0]["repeated"]) == ("completed", 1)
    assert len(tickets(connection)) == 2


def test_a_broken_record_of_a_joined_file_is_counted_and_named(
    settings: Settings, connection: psycopg.Connection
) -> None:
    done = load(settings, LINES, {"tickets.csv": TICKETS.replace("noise,D2", "noise") + ",2026-01-05,x,D1\n"})
    assert (done.state, done.loaded, done.rejected) == ("completed_with_rejects", 2, 1)
    assert left_out(settings, connection, done) == [(4, "rejected", "ticket_id 'T2' is not in tickets.csv")]
    assert done.result["joined"][0] == {
        "file": "tickets.csv", "read": 4, "used": 1, "unused": 1, "repeated": 0, "rejected": 2
    }  # fmt: skip
    assert done.result["warnings"][0] == (
        "tickets.csv: 2 records could not be read; the first: line 3 has 3 fields, the header has 4"
    )


def test_the_same_file_with_another_joined_to_it_is_another_import(settings: Settings) -> None:
    first = created(settings, LINES, {"tickets.csv": TICKETS}, join=[JOIN], fields=FIELDS)
    again = created(settings, LINES, {"tickets.csv": TICKETS}, join=[JOIN], fields=FIELDS)
    other = created(settings, LINES, {"tickets.csv": TICKETS + "T5,2026-01-08,,D1\n"}, join=[JOIN], fields=FIELDS)
    assert first.id == again.id != other.id


def many(number: int) -> tuple[str, str]:
    """Lines of so many tickets, three of each all over the file, and twice as many tickets."""
    lines = [f"K{n % number},P{n % 7},{n % 5 + 1},1.50" for n in range(3 * number)]
    records = [f"K{n},2026-01-{n % 28 + 1:02d},subject {n},D{n % 3}" for n in range(2 * number)]
    return "\n".join(["ticket_id,part,quantity,price", *lines]), "\n".join(["id,opened,subject,desk", *records])


def assert_whole(connection: psycopg.Connection, done: Import, number: int) -> None:
    assert (done.state, done.error, done.rows_read, done.loaded) == ("completed", None, 3 * number, 3 * number)
    assert done.result["joined"] == [
        {"file": "tickets.csv", "read": 2 * number, "used": number, "unused": number, "repeated": 0, "rejected": 0}
    ]
    found = {row[0]: row[1:] for row in tickets(connection)}
    assert found == {f"K{n}": (f"subject {n}", f"2026-01-{n % 28 + 1:02d}", 3) for n in range(number)}
    assert staged(connection) == []


def test_kills_change_neither_data_nor_counts(
    settings: Settings, connection: psycopg.Connection, tmp_path: Path
) -> None:
    settings = Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path)
    lines, records = many(1500)
    made = created(settings, lines, {"tickets.csv": records}, join=[JOIN], fields=FIELDS)
    done, kills = advanced_under_fire(settings, made, random.Random(3))
    assert kills > 0
    assert_whole(connection, done, 1500)


def test_it_goes_on_batch_by_batch_with_what_was_found(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 500)
    monkeypatch.setattr(reader, "RECORDS_AT_ONCE", 7)
    lines, records = many(60)
    made = created(settings, lines, {"tickets.csv": records}, join=[JOIN], fields=FIELDS)
    steps = 0
    while not (done := advance_import(settings, made.id, seconds=0)).is_final:
        steps += done.state == "loading"
    assert steps > 5
    assert_whole(connection, done, 60)


@pytest.mark.parametrize("some", [False, True], ids=["before the first line", "later"])
def test_joined_records_that_a_crash_of_the_server_has_lost_are_read_again(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, some: bool
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 500)
    lines, records = many(60)
    made = created(settings, lines, {"tickets.csv": records}, join=[JOIN], fields=FIELDS)
    while (now := advance_import(settings, made.id, seconds=0)).state == "waiting" or (now.rows_read > 0) != some:
        assert not now.is_final
    assert now.state == "loading"
    for name in staged(connection):
        connection.execute(f"truncate staging.{name}".encode())
    assert_whole(connection, advance_import(settings, made.id), 60)


def test_a_joined_file_without_records_rejects_every_line(settings: Settings) -> None:
    done = load(settings, LINES, {"tickets.csv": "id,opened,subject\n"})
    assert (done.state, done.rows_read, done.rejected) == ("completed_with_rejects", 3, 3)


def test_a_dry_run_joins_and_writes_nothing(settings: Settings, connection: psycopg.Connection) -> None:
    said = store_joined(settings, {"join": [JOIN], "fields": FIELDS}, {"tickets.csv": TICKETS.encode()})
    found = dry_run(settings, "tickets", (LINES + "T9,P1,1,1.00\n").encode(), options=said)
    assert (found["read"], found["loaded"], found["rejected"]) == (4, 3, 1)
    assert found["rejects"][0]["reason"] == "ticket_id 'T9' is not in tickets.csv"
    assert found["plan"]["joins"][0]["file"] == "tickets.csv"
    assert (tickets(connection), staged(connection)) == ([], [])


def test_the_next_files_are_read_as_these_were(settings: Settings, connection: psycopg.Connection) -> None:
    assert load(settings, LINES).state == "completed"
    later = TICKETS.replace("T1,2026-01-05,leak", "T8,2026-02-01,heat")
    done = load(settings, LINES.replace("T1", "T8"), {"tickets.csv": later}, fields={})
    assert done.as_json()["plan"]["remembered"] is not None
    assert ("T8", "heat", "2026-02-01", 2) in tickets(connection)


def test_a_joined_file_is_kept_as_long_as_its_import(settings: Settings, tmp_path: Path) -> None:
    settings = Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path)
    made = created(settings, LINES, {"tickets.csv": TICKETS}, join=[JOIN], fields=FIELDS)
    unnamed = store_joined(settings, {"join": [JOIN]}, {"tickets.csv": b"id\nX\n"})["join"][0]["sha256"]
    assert sweep(settings, kept=timedelta(seconds=-5)).files == 1
    assert advance_import(settings, made.id).state == "completed"
    with pytest.raises(NotFound), open_file(settings, unnamed):
        pass


@pytest.mark.parametrize(
    ("join", "fault"),
    [
        ({**JOIN, "on": {"ticket": "id"}}, "join.0.on: the file has no column 'ticket'"),
        ({**JOIN, "on": {"ticket_id": "no"}}, "join.0.on: tickets.csv has no column 'no'"),
        ({**JOIN, "take": {"town": "town"}}, "join.0.take: tickets.csv has no column 'town'"),
        ({**JOIN, "take": {"desk": "part"}}, "join.0.take: there is a column 'part' already"),
    ],
)
def test_columns_that_there_are_not_end_the_import_with_their_names(
    settings: Settings, join: dict[str, Any], fault: str
) -> None:
    done = load(settings, LINES, join=[join])
    assert done.state == "failed"
    assert str(done.error).startswith(fault)


def test_a_file_that_was_not_sent_and_entries_that_say_nothing_are_refused(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match=r"join.0.file: tickets.csv was not sent"):
        created(settings, LINES, {}, join=[JOIN])
    for entry, fault in (
        ({"file": "a.csv"}, "join.0.on"),
        ({**JOIN, "how": "left"}, "'how' is not a part of a join"),
        ({**JOIN, "repeated": "all"}, "join.0.repeated"),
        ({**JOIN, "delimiter": "xx"}, "join.0"),
        ({**JOIN, "sha256": "../x"}, "join.0.sha256"),
    ):
        with pytest.raises(InvalidInput, match=fault):
            create_import(settings, "tickets", LINES.encode(), options={"join": [entry]})


def test_records_of_json_are_joined_as_well(settings: Settings, connection: psycopg.Connection) -> None:
    lines = '{"Ticket ID": "T1", "part": "P1", "quantity": 1, "price": 1}\n{"ticket_id": "T9", "part": "P1"}\n'
    done = load(settings, lines, fields={**FIELDS, "ticket_id": "ticket_id"}, format="jsonl")
    assert (done.loaded, left_out(settings, connection, done)) == (
        1,
        [(2, "rejected", "ticket_id 'T9' is not in tickets.csv")],
    )
    assert tickets(connection) == [("T1", "leak", "2026-01-05", 1)]


@pytest.mark.usefixtures("shelves")
def test_a_plain_table_takes_no_further_file(settings: Settings) -> None:
    options = store_joined(settings, {"join": [JOIN]}, {"tickets.csv": TICKETS.encode()})
    made, _ = create_import(settings, "shelves", b"ticket_id\nT1\n", options=options)
    done = advance_import(settings, made.id)
    assert done.state == "failed"
    assert "files are joined for targets that become events" in str(done.error)


@pytest.mark.parametrize("content", [b"\x00\x01\x02" * 50, gzip.compress(TICKETS.encode() * 2000)[:-300]])
def test_a_further_file_that_cannot_be_read_is_named(
    settings: Settings, connection: psycopg.Connection, content: bytes
) -> None:
    done = load(settings, LINES, {"tickets.csv": content}, join=[{**JOIN, "repeated": "last"}])
    assert (done.state, done.rows_read, staged(connection)) == ("failed", 0, [])
    assert str(done.error).startswith("join: tickets.csv: ")
