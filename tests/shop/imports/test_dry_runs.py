"""A dry run is a look: bounded in rows and in time, and it says how far it went."""

from collections.abc import Iterator
from io import BytesIO, RawIOBase

import psycopg
import pytest

from penstock.ingest.files import dry_run, preview
from penstock.settings import Settings

HEADER = b"sku,name,category\n"


class Pipe(RawIOBase):
    """A stream without an end, which counts what was taken from it."""

    def __init__(self) -> None:
        self.lines = self._lines()
        self.taken = 0

    def _lines(self) -> Iterator[bytes]:
        number = 0
        yield HEADER
        while True:
            number += 1
            yield b"P%d,Lamp %d,Light\n" % (number, number)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        content = b""
        while len(content) < size:
            content += next(self.lines)
        self.taken += len(content)
        return content


def products(number: int) -> bytes:
    return HEADER + b"".join(b"P%d,Lamp %d,Light\n" % (each, each) for each in range(number))


def test_of_a_large_file_the_beginning_is_read(settings: Settings, connection: psycopg.Connection) -> None:
    found = dry_run(settings, "products", products(200_000))
    assert not found["complete"]
    assert 10_000 <= found["read"] < 100_000
    assert (found["loaded"], found["rejected"], found["duplicate"]) == (found["read"], 0, 0)
    assert len(found["rows"]) == 20
    assert connection.execute(
        "select count(*) from pg_tables where schemaname = 'staging' and tablename ~ 'import'"
    ).fetchone() == (0,)


@pytest.mark.parametrize("number", [1, 9_999, 10_000, 10_001])
def test_a_file_of_some_ten_thousand_rows_is_read_whole(settings: Settings, number: int) -> None:
    found = dry_run(settings, "products", products(number))
    assert (found["complete"], found["read"]) == (True, number)


def test_rows_that_are_read_one_by_one_end_at_the_bound(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "ROWS_LOOKED_AT", 50)
    lines = b"".join(b'{"sku": "P%d", "name": "Lamp"}\n' % number for number in range(51))
    for content, complete in ((lines, False), (lines[: lines.rindex(b"{")], True)):
        for form in (content, b"[" + content.strip().replace(b"\n", b",") + b"]"):
            found = dry_run(settings, "products", form)
            assert (found["complete"], found["read"]) == (complete, 50)


def test_a_look_ends_in_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "SECONDS", 0.0)
    found = dry_run(settings, "products", b"".join(b'{"sku": "P%d"}\n' % number for number in range(9)))
    assert not found["complete"]
    assert found["read"] < 9


def test_of_a_stream_no_more_is_taken_than_is_looked_at(settings: Settings) -> None:
    pipe = Pipe()
    found = dry_run(settings, "products", pipe)  # type: ignore[arg-type]
    assert not found["complete"]
    assert found["read"] >= 10_000
    assert pipe.taken < 8 << 20


def test_a_stream_is_read_like_the_file(settings: Settings) -> None:
    content = products(30_000)
    assert dry_run(settings, "products", BytesIO(content)) == dry_run(settings, "products", content)
