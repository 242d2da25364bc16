"""Every file ends in a clear state, with an account that adds up."""

import csv
import gzip
import io
import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.errors import InvalidInput, NotFound
from penstock.ingest.files import Import, advance_import, create_import, dry_run, kept_rejects, rejects_csv
from penstock.ingest.files.load import batches
from penstock.ingest.files.options import Options
from penstock.ingest.files.rejects import escape_formula
from penstock.settings import Settings

HEADER = "order_id,product_id,quantity,ordered_at,unit_price\n"
GOOD = "1,P,2,2026-01-01,1.50\n"


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    return Settings(database_url=settings.database_url, environment="local", storage_folder=tmp_path)


def load(settings: Settings, content: bytes, target: str = "orders", **arguments: Any) -> Import:
    created, _ = create_import(settings, target, content, **arguments)
    done = advance_import(settings, created.id)
    assert done.rows_read == done.loaded + done.rejected + done.duplicate + done.pending
    return done


@pytest.mark.parametrize(
    ("content", "counts"),
    [
        (HEADER, (0, 0, 0)),
        (HEADER.strip(), (0, 0, 0)),
        (HEADER + "\n\n", (0, 0, 0)),
        (HEADER + "a,b\n" * 10, (10, 0, 10)),
        (HEADER + GOOD + "\n" + GOOD.strip(), (2, 2, 0)),
        ("[]", (0, 0, 0)),
        ('[{"a": 1}, null, [2], "x"]', (4, 0, 4)),
        ('{"order_id": 1}\n\n{"order_id": NaN}\n', (2, 0, 2)),
    ],
)  # fmt: skip
def test_files_without_much_in_them_complete(settings: Settings, content: str, counts: tuple[int, int, int]) -> None:
    done = load(settings, content.encode())
    assert (done.state, done.error) == ("completed", None)
    assert (done.rows_read, done.loaded, done.rejected) == counts


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "the file is empty"),
        (b"<html><body>please log in</body></html>", "an HTML page"),
        (b"PK\x03\x04" + bytes(64), "a zip archive"),
        (gzip.compress((HEADER + GOOD).encode() * 99999)[:-30], "gzip"),
        (b'[{"order_id": 1}, {"order_id"', "not closed"),
        (b"\xff\xfe\x00\x00", "empty|header|recognised"),
    ],
    ids=lambda value: value if isinstance(value, str) else "file",
)
def test_files_that_cannot_be_read_fail_with_the_reason(settings: Settings, content: bytes, error: str) -> None:
    done = load(settings, content)
    assert done.state == "failed"
    assert done.error is not None
    assert any(word in done.error for word in error.split("|"))


def test_a_failed_import_may_be_tried_again(settings: Settings, connection: psycopg.Connection) -> None:
    content = HEADER.replace("quantity", "pieces").encode() + GOOD.encode()
    assert "quantity" in str(load(settings, content).error)
    again = load(settings, content, options={"mapping": {"pieces": "quantity"}})
    assert (again.state, again.loaded) == ("completed", 1)
    left = connection.execute(
        "select count(*) from pg_class where relnamespace = 'staging'::regnamespace and starts_with(relname, 'import_')"
    ).fetchone()
    assert left == (0,)


def test_too_many_rejects_abort_when_asked(settings: Settings, connection: psycopg.Connection) -> None:
    content = (HEADER + GOOD + "bad\n" * 5).encode()
    done = load(settings, content, reject_limit=3)
    assert (done.state, done.error, done.loaded) == ("aborted", "more than 3 rejected lines", 0)
    assert connection.execute("select count(*) from public.event_store").fetchone() == (0,)
    assert load(settings, content, reject_limit=5).state == "completed"


def test_the_rejects_are_safe_in_a_spreadsheet(settings: Settings) -> None:
    bad = ["=1+1,P,1", "+1,P,1", "-1,P,1", "@x,P,1", "\tx,P,1", "\rx,P,1", "Q1;=cmd|calc", "plain"]
    done = load(settings, (HEADER + "\n".join(bad) + "\n").encode(), options={"delimiter": ","})
    text = "".join(rejects_csv(settings, done.id))
    contents = [row[4] for row in csv.reader(io.StringIO(text, newline=""))][1:]
    assert contents == [f"'{line}" for line in bad[:6]] + bad[6:]
    cells = r'"(?:[^"]|"")*"'
    assert re.fullmatch(rf"(?:{cells}(?:,{cells}){{4}}\r\n)+", text), "every cell is quoted, whatever it holds"


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_what_a_spreadsheet_takes_for_a_formula_is_quoted(start: str) -> None:
    assert escape_formula(f"{start}x") == f"'{start}x"
    assert escape_formula(f"{start}x".encode()) == f"'{start}x"
    assert escape_formula(f"x{start}") == f"x{start}"


def test_of_many_rejects_the_first_are_kept_and_all_are_counted(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 200_000)
    content = (HEADER + GOOD + "x\n" * 12_000).encode()
    done = load(settings, content)
    assert (done.state, done.rows_read, done.loaded, done.rejected) == ("completed", 12_001, 1, 12_000)
    assert done.rejects_kept == done.as_json()["rejects_kept"] == 10_000
    kept = connection.execute("select count(*), min(line), max(line) from raw.import_rejects").fetchone()
    assert kept == (10_000, 3, 10_002)
    rows = "".join(rejects_csv(settings, done.id)).splitlines()
    assert len(rows) == 10_002
    assert "2000 more lines were rejected" in rows[-1]
    more = load(settings, content + b"\n", reject_limit=20_000)
    assert (more.state, more.rejected, more.rejects_kept) == ("completed", 12_000, 12_000)


def test_the_rejects_of_one_import_take_a_bounded_room(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH_BYTES", 10_000)
    monkeypatch.setattr(kept_rejects, "KEPT_BYTES", 50_000)
    done = load(settings, (HEADER + f"{'x' * 900}\n" * 200 + "x\n" * 50).encode(), reject_limit=10_000)
    assert (done.state, done.rejected) == ("completed", 250)
    size = connection.execute("select count(*), max(line), sum(length(line_content) + 200) from raw.import_rejects")
    number, last, room = size.fetchone() or (0, 0, 0)
    assert number == done.rejects_kept == last - 1, "the first ones, without a gap"
    assert 40_000 < room <= done.rejects_kept_bytes <= 50_000


def test_conflicts_are_kept_within_the_same_bounds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{number},P,1,2026-01-01,1.50\n" for number in range(40)]
    load(settings, (HEADER + "".join(lines)).encode())
    monkeypatch.setattr(kept_rejects, "KEPT", 15)
    # of another product and in another currency they cannot be lines of the same orders
    others, euros = "".join(lines).replace(",P,", ",Q,"), {"constants": {"currency": "EUR"}}
    changed = load(settings, (HEADER + others + "x\n" * 10).encode(), options=euros)
    assert (changed.rejected, changed.rejects_kept) == (50, 15)
    monkeypatch.setattr(kept_rejects, "KEPT_BYTES", 8_000)
    monkeypatch.setattr(kept_rejects, "KEPT", 100)
    small = load(settings, (HEADER + others).encode(), options=euros)
    assert small.rejected == 40
    assert small.rejects_kept_bytes <= 8_000


def test_a_small_bomb_is_refused_as_a_large_one_is(settings: Settings) -> None:
    bomb = gzip.compress(HEADER.encode() + b"x\n" * 1_000_000)
    assert len(bomb) < 5_000
    done = load(settings, bomb)
    assert done.state == "failed"
    assert "refused as a bomb" in (done.error or "")


def test_what_a_caller_says_wrongly_is_refused_at_once(settings: Settings) -> None:
    wrong: list[dict[str, Any]] = [
        {"options": {"mapping": {"a": 1}}}, {"options": {"colour": "red"}}, {"options": {"encoding": "klingon"}},
        {"options": {"delimiter": "ab"}}, {"options": {"decimal": ";"}}, {"reject_limit": -1},
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(InvalidInput):
            create_import(settings, "orders", b"x", **arguments)
    with pytest.raises(NotFound, match="customers, events, inventory"):
        create_import(settings, 'orders"; drop table x', b"x")
    for option in (
        {"mapping": {"order_id": "nothing"}},
        {"constants": {"quantity": "many"}},
        {"dates": {"x": "%Y%m%d"}},
    ):
        assert load(settings, (HEADER + GOOD).encode(), options=option).state == "failed"


@pytest.mark.parametrize(
    "written", ["%d/%m", "%H:%M", "%d %d %Y", "%Y-%m-%q", "%", "", "%m/%Y", "x" * 101, "%d\ud800%m%Y"]
)
def test_a_date_format_that_does_not_name_a_day_is_refused_at_once(
    settings: Settings, connection: psycopg.Connection, written: str
) -> None:
    content = (HEADER + GOOD.replace("2026-01-01", "29/02")).encode()
    for call in (create_import, dry_run):
        with pytest.raises(InvalidInput, match=r"dates\.ordered_at"):
            call(settings, "orders", content, options={"dates": {"ordered_at": written}})
    assert connection.execute("select count(*) from raw.imports").fetchone() == (0,)


@pytest.mark.parametrize(
    "written", ["%d/%m/%Y", "%d.%m.%y %H:%M", "%Y%m%d", "%Y-%j", "%d %b %Y %I:%M %p", "%d/%m/%Y %z"]
)
def test_a_date_format_that_names_a_day_is_taken(written: str) -> None:
    assert Options.read({"dates": {"at": written}}).dates == {"at": written}


def test_the_gharchive_sample_comes_in_under_another_vocabulary(settings: Settings) -> None:
    lines = [
        {"id": str(n), "dt": "2015-02-22T23:00:00Z", "repo": f"r{n % 3}", "type": "push", "body": {"n": n}}
        for n in range(9)
    ]
    done = load(
        settings,
        "\n".join(map(json.dumps, lines)).encode(),
        "events",
        options={"mapping": {"repo": "aggregate_id"}, "constants": {"aggregate_type": "repository"}},
    )
    assert (done.state, done.loaded) == ("completed", 9)
