"""`penstock import` where files live in Supabase Storage: sent to a signed address, streamed, shown, known again."""

import hashlib
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psycopg
import pytest
import respx

from penstock.cli import importing, main
from penstock.errors import InvalidInput, Unavailable
from penstock.ingest.files import advance_import, create_import, send_upload
from penstock.settings import Settings
from tests.integration.ingest.files.storage_stub import KEY, storage

ORDERS = "ticket_id,part,quantity,price,opened_at\n" + "".join(
    f"{number},MUG,{'x' if number % 10 == 9 else 2},1.25,2026-01-01\n" for number in range(40)
)
CALL = ("import", "orders.csv", "--target", "tickets")
STORAGE = "https://project.supabase.co/storage/v1"
SIGNED = f"{STORAGE}/object/upload/sign/imports/incoming/"


@pytest.fixture(autouse=True)
def hosted(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", KEY)
    for name in ("INNGEST_DEV", "INNGEST_EVENT_KEY", "PENSTOCK_ENV"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "orders.csv").write_text(ORDERS)


@pytest.fixture
def objects(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    with storage() as (url, objects):
        monkeypatch.setenv("SUPABASE_URL", url)
        yield objects


@pytest.fixture
def mocked(monkeypatch: pytest.MonkeyPatch) -> Iterator[respx.MockRouter]:
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    with respx.mock as router:
        router.post(url__startswith=SIGNED).mock(
            side_effect=lambda request: httpx.Response(
                200, json={"url": f"{request.url.path.removeprefix('/storage/v1')}?token=t"}
            )
        )
        yield router


def stored() -> str:
    sha256 = hashlib.sha256(ORDERS.encode()).hexdigest()
    return f"imports/{sha256[:2]}/{sha256}"


def test_a_file_goes_to_storage_and_not_to_this_machine(
    objects: dict[str, bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(list(CALL)) == 3
    assert capsys.readouterr().out.startswith("completed_with_rejects: 40 lines read, 36 loaded, 0 skipped, 4 rejected")
    assert objects == {stored(): ORDERS.encode()}
    assert not (tmp_path / ".penstock").exists()


def test_rejects_are_read_from_there(objects: dict[str, bytes], tmp_path: Path) -> None:
    assert main([*CALL, "--rejects", "rejects.csv"]) == 3
    assert (tmp_path / "rejects.csv").read_text().count("9,MUG,x") == 4


def test_the_same_file_again_adds_nothing_and_says_so(
    objects: dict[str, bytes], connection: psycopg.Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*CALL, "--json"]) == 3
    first = json.loads(capsys.readouterr().out)["import_id"]
    assert main([*CALL, "--json"]) == 3
    again = capsys.readouterr()
    assert json.loads(again.out)["import_id"] == first
    assert "this very file was imported before" in again.err
    assert connection.execute("select count(*) from public.event_store").fetchone() == (72,)
    assert list(objects) == [stored()]


def test_the_same_command_goes_on_where_an_import_stopped(
    objects: dict[str, bytes], settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = advance_import, []

    def stop(settings: Settings, import_id: object) -> object:
        calls.append(import_id)
        real(settings, import_id, seconds=0)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing.files, "advance_import", stop)
        assert main(list(CALL)) == 130
    assert "the same command goes on where it stopped" in capsys.readouterr().err
    real(importing.import_settings(), calls[0], seconds=0)  # its content is known by then
    assert main([*CALL, "--json"]) == 3
    done = json.loads(capsys.readouterr().out)
    assert (done["import_id"], done["state"], done["loaded"]) == (str(calls[0]), "completed_with_rejects", 36)


def test_standard_input_is_sent_with_its_size(
    objects: dict[str, bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(ORDERS.encode())))
    assert main(["import", "-", "--target", "tickets"]) == 3
    assert "36 loaded" in capsys.readouterr().out
    assert list(objects) == [stored()]


def test_a_terminal_sees_the_file_being_sent(
    objects: dict[str, bytes], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("penstock.cli.progress.SECONDS_BETWEEN_FRAMES", 0.0)
    assert main(list(CALL)) == 3
    frames = capsys.readouterr().err.split("\r\x1b[K")
    assert any(frame.endswith("100%  sending the file, 1.0 of 1.0 KB") for frame in frames), frames
    assert any("completed" in frame for frame in frames)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (httpx.Response(413, json={"message": "The object exceeded the maximum allowed size"}), "exceeded the maximum"),
        (httpx.Response(400, json={"message": "The signature is not valid"}), "The signature is not valid"),
        (httpx.Response(400, text="<html>"), "status 400"),
        (httpx.Response(500), "answered 500"),
        (httpx.ConnectError("connection refused"), "broke off: connection refused"),
    ],
)
def test_what_storage_refuses_is_told_with_its_words(
    mocked: respx.MockRouter, capsys: pytest.CaptureFixture[str], answer: httpx.Response | Exception, said: str
) -> None:
    sent = mocked.put(url__startswith=SIGNED)
    sent.mock(**{"side_effect" if isinstance(answer, Exception) else "return_value": answer})  # type: ignore[arg-type]
    assert main(list(CALL)) == 1
    told = capsys.readouterr().err
    assert said in told
    assert KEY not in told


def test_the_file_is_streamed_in_blocks_with_its_length_and_without_the_secret(mocked: respx.MockRouter) -> None:
    size, largest = 10 << 20, 0

    class Zeros(io.RawIOBase):
        left = size

        def read(self, number: int = -1) -> bytes:
            nonlocal largest
            largest = max(largest, number)
            data = b"0" * min(number, self.left)
            self.left -= len(data)
            return data

    sent = mocked.put(url__startswith=SIGNED).respond(200, json={})
    send_upload(f"{SIGNED}x?token=t", Zeros(), size)  # type: ignore[arg-type]
    request = sent.calls.last.request
    assert request.headers["content-length"] == str(size)
    assert len(request.content) == size
    assert 0 < largest <= 1 << 20
    assert not {"apikey", "authorization"} & set(request.headers)


def test_errors_of_sending_are_of_the_projects_own_kinds(mocked: respx.MockRouter) -> None:
    mocked.put(url__startswith=SIGNED).mock(side_effect=[httpx.Response(403, json={}), httpx.ReadTimeout("slow")])
    with pytest.raises(InvalidInput, match="refuses it: status 403"):
        send_upload(f"{SIGNED}x?token=t", io.BytesIO(b"1"), 1)
    with pytest.raises(Unavailable):
        send_upload(f"{SIGNED}x?token=t", io.BytesIO(b"1"), 1)


def test_local_mode_keeps_to_the_folder(
    objects: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_ENV", "local")
    monkeypatch.setenv("PENSTOCK_STORAGE_FOLDER", str(tmp_path / "uploads"))
    assert main(list(CALL)) == 3
    assert objects == {}
    assert (tmp_path / "uploads").exists()


def test_both_ways_into_storage_know_each_others_files(
    objects: dict[str, bytes], settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hosted = replace(importing.import_settings(), database_url=settings.database_url)
    created, _ = create_import(hosted, "tickets", ORDERS.encode())
    assert main([*CALL, "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["import_id"] == str(created.id)
