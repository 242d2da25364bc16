"""Every file ends in a clear state, with an account that adds up."""

import gzip
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from penstock.errors import InvalidInput, NotFound
from penstock.imports import Import, advance_import, create_import, rejects_csv
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
    bad = ["=1+1,P,1", "+1,P,1", "-1,P,1", "@x,P,1", "\tx,P,1", "\"=cmd|' /C calc'!A0\",P,1"]
    done = load(settings, (HEADER + "\n".join(bad) + "\n").encode())
    lines = "".join(rejects_csv(settings, done.id)).splitlines()[1:]
    cells = [line.partition("header has 5,")[2].strip('"') for line in lines]
    assert len(cells) == 6
    assert all(not cell.startswith(("=", "+", "-", "@", "\t")) for cell in cells), cells


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
    for option in ({"mapping": {"order_id": "nothing"}}, {"constants": {"quantity": "many"}}, {"dates": {"x": "%d"}}):
        assert load(settings, (HEADER + GOOD).encode(), options=option).state == "failed"


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
