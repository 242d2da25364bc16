"""Files too large for a request: a signed address, the file, the start."""

import gzip
import resource
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import pytest

from penstock.errors import Forbidden
from penstock.http.upload_token import sign, verify
from penstock.ingest import files
from penstock.settings import ApiKey, Settings
from tests.integration.http.conftest import KEYS, Api, running
from tests.integration.http.test_bad_input import assert_names, assert_problem
from tests.integration.http.test_intake import send_after
from tests.integration.http.test_security import bearer
from tests.integration.ingest.files.storage_stub import KEY, storage
from tests.waiting import PATIENCE_SECONDS

HEADER = b"ticket_id,part,quantity,opened_at,price\n"
LINE = b"%d,MUG,2,2026-01-01,1.25\n"
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def orders(lines: int) -> bytes:
    return HEADER + b"".join(LINE % number for number in range(lines))


def opened(api: Api, target: str = "tickets", **asked: str) -> dict:
    answer = api.http.post(f"/v1/imports/{target}/uploads", params=asked)
    assert answer.status_code == 201, answer.text
    return answer.json()


def state(api: Api, upload: dict) -> dict:
    return api.http.get(upload["status_url"]).json()


def left_over(api: Api) -> list[Path]:
    return [path for path in api.settings.storage_folder.rglob("*") if path.is_file()]


@pytest.fixture
def small(settings: Settings, tmp_path: Path) -> Iterator[Api]:
    """An app that takes bodies of 10,000 bytes, and uploads of 100,000."""
    limits = {"max_body_bytes": 10_000, "max_upload_bytes": 100_000}
    with running(replace(settings, storage_folder=tmp_path, **limits)) as api:
        yield api


def test_a_file_over_the_limit_of_bodies_is_uploaded_and_imported(small: Api) -> None:
    content = orders(3000)
    assert_problem(small.http.post("/v1/imports/tickets", content=content), 413)
    upload = opened(small, name="big.csv")
    assert upload["expires_at"] > datetime.now(UTC).isoformat()[:19]
    assert state(small, upload)["state"] == "uploading"
    assert small.sent.events == []
    received = small.http.put(upload["upload_url"], content=content)
    assert (received.status_code, received.json()["size_bytes"]) == (202, len(content))
    assert ("import/file.requested", upload["import_id"]) in send_after(small, upload["import_id"])
    assert small.http.post(upload["start_url"]).status_code == 202, "the same calls fit Supabase Storage, too"
    files.advance_import(small.settings, UUID(upload["import_id"]))
    done = state(small, upload)
    assert (done["state"], done["read"], done["loaded"], done["source_name"]) == ("completed", 3000, 3000, "big.csv")
    assert (done["size_bytes"], done["bytes_read"]) == (len(content), len(content))
    started = len(small.sent.events)
    assert small.http.post(upload["start_url"]).json()["state"] == "completed"
    assert len(small.sent.events) == started, "what is done is not started again"


def test_an_upload_carries_its_options(api: Api) -> None:
    content = gzip.compress(b"no;what;many;when;each\n1;MUG;2;2026-01-01;1,25\n2;MUG;x;2026-01-01;1,25\n")
    mapping = '{"no": "ticket_id", "what": "part", "many": "quantity", "when": "opened_at", "each": "price"}'
    upload = opened(api, mapping=mapping, decimal=",", reject_limit="0")
    api.http.put(upload["upload_url"], content=content)
    files.advance_import(api.settings, UUID(upload["import_id"]))
    done = state(api, upload)
    assert (done["state"], done["error"]) == ("aborted", "more than 0 rejected lines")
    assert done["plan"]["mapping"]["each"] == "price"
    assert (done["plan"]["decimal"], done["plan"]["gzip"]) == (",", True)


def test_what_cannot_be_opened(api: Api) -> None:
    for query, field in (
        ("mapping=5", "mapping"),
        ("reject_limit=-1", "reject_limit"),
        ("name=", "name"),
        ("x=1", "x"),
    ):
        assert_names(assert_problem(api.http.post(f"/v1/imports/tickets/uploads?{query}"), 422), field)
    assert_names(assert_problem(api.http.post("/v1/imports/tickets/uploads?name=%00"), 422), "name")
    assert_problem(api.http.post("/v1/imports/event_store/uploads"), 404)
    assert api.http.get("/v1/imports").json() == {"imports": []}


def test_a_start_before_the_file_has_arrived_is_refused(api: Api) -> None:
    upload = opened(api)
    assert "no file has arrived" in assert_problem(api.http.post(upload["start_url"]), 404)["detail"]
    assert_problem(api.http.post(f"/v1/imports/{uuid4()}/start"), 404)
    assert state(api, upload)["state"] == "uploading"
    assert api.sent.events == []


def test_only_an_address_that_was_given_out_takes_a_file(api: Api) -> None:
    upload, other = opened(api), opened(api)
    path = urlsplit(upload["upload_url"]).path
    import_id, expires, signature = path.removeprefix("/v1/uploads/").split(".")
    other_id = UUID(other["import_id"]).hex
    for wrong in (
        f"{import_id}.{expires}.{'0' * 64}",
        f"{import_id}.{int(expires) + 1}.{signature}",
        f"{other_id}.{expires}.{signature}",
        f"{import_id}.{expires}",
        "nonsense",
        "..%2f..%2fetc",
        "é",
    ):
        answer = api.http.put(f"/v1/uploads/{wrong}", content=orders(1))
        assert assert_problem(answer, 404 if "%2f" in wrong else 403)["type"].endswith(("forbidden", "not-found"))
    assert left_over(api) == []
    assert api.http.put(path, content=orders(1)).status_code == 202
    assert_problem(api.http.put(path, content=orders(2)), 409)
    assert_problem(api.http.put(f"/v1/uploads/{'x' * 201}", content=b"a"), 422)


def test_an_address_expires_and_belongs_to_one_deployment(settings: Settings) -> None:
    import_id = uuid4()
    token = sign(settings, import_id, NOW + timedelta(hours=2))
    assert verify(settings, token, NOW + timedelta(hours=1, minutes=59)) == import_id
    with pytest.raises(Forbidden, match="expired"):
        verify(settings, token, NOW + timedelta(hours=2))
    for others in (
        replace(settings, database_url=f"{settings.database_url}x"),
        replace(settings, api_keys=(ApiKey("a", "0" * 64, frozenset()),)),
    ):
        with pytest.raises(Forbidden, match="not an upload URL"):
            verify(others, token, NOW)


def test_an_upload_has_a_limit_of_its_own(small: Api) -> None:
    upload = opened(small)
    too_large = assert_problem(small.http.put(upload["upload_url"], content=b"x" * 100_001), 413)
    assert "100000 bytes" in too_large["detail"]

    def parts() -> Iterator[bytes]:
        for _ in range(101):
            yield b"x" * 1000

    assert_problem(small.http.put(upload["upload_url"], content=parts()), 413)
    assert (state(small, upload)["state"], left_over(small)) == ("uploading", [])


def test_what_is_no_file(api: Api) -> None:
    upload = opened(api)
    assert_names(assert_problem(api.http.put(upload["upload_url"], content=b""), 422), "file")
    assert_names(assert_problem(api.http.put(upload["upload_url"], content=iter([])), 422), "file")
    assert_problem(api.http.put(upload["upload_url"], files={"file": ("a.csv", orders(1))}), 415)
    assert (state(api, upload)["state"], left_over(api)) == ("uploading", [])


def test_a_file_that_breaks_off_is_not_taken_and_may_be_sent_again(api: Api) -> None:
    upload = opened(api)
    address = (api.http.base_url.host, api.http.base_url.port)
    path = urlsplit(upload["upload_url"]).path
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n"
        connection.sendall(head.encode() + b"x" * 3_000_000)
        wait_for(lambda: left_over(api) != [])
    wait_for(lambda: left_over(api) == [])
    assert state(api, upload)["state"] == "uploading"
    assert api.http.put(upload["upload_url"], content=orders(2)).json()["state"] == "waiting"


def test_a_refused_file_is_not_received_to_its_end(api: Api) -> None:
    address = (api.http.base_url.host, api.http.base_url.port)
    with socket.create_connection(address, timeout=PATIENCE_SECONDS) as connection:
        connection.sendall(b"PUT /v1/uploads/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000000\r\n\r\n")
        answer = b""
        while part := connection.recv(10_000):
            answer += part
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in answer


def test_of_two_at_once_one_file_is_taken_whole(api: Api) -> None:
    upload = opened(api)
    first, second = orders(1000), orders(2000)

    def slowly() -> Iterator[bytes]:
        yield first[:20_000]
        assert api.http.put(upload["upload_url"], content=second).status_code == 202
        yield first[20_000:]

    with httpx.Client(base_url=api.http.base_url) as other:
        assert_problem(other.put(upload["upload_url"], content=slowly()), 409)
    done = files.advance_import(api.settings, UUID(upload["import_id"]))
    assert (done.state, done.rows_read, done.content_sha256) == ("completed", 2000, sha256(second).hexdigest())


def test_a_large_file_is_never_held_in_memory(api: Api) -> None:
    block = b"x" * 65_536
    upload = opened(api)
    api.http.put(opened(api)["upload_url"], content=block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    received = api.http.put(upload["upload_url"], content=(block for _ in range(2000)))
    assert received.json()["size_bytes"] == 2000 * len(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000, "of 128,000 KB"


def test_a_key_opens_and_the_address_alone_takes_the_file(settings: Settings, tmp_path: Path) -> None:
    keys = tuple(
        ApiKey(name, sha256(KEYS[name].encode()).hexdigest(), frozenset({scope}))
        for name, scope in (("reader", "read"), ("writer", "write"))
    )
    guarded = replace(settings, environment="production", api_keys=keys, storage_folder=tmp_path)
    with running(replace(guarded, inngest_serve_origin="https://shop.example")) as api:
        assert_problem(api.http.post("/v1/imports/tickets/uploads"), 401)
        assert_problem(api.http.post("/v1/imports/tickets/uploads", headers=bearer("reader")), 403)
        upload = api.http.post("/v1/imports/tickets/uploads", headers=bearer("writer")).json()
        url = urlsplit(upload["upload_url"])
        assert (url.scheme, url.netloc) == ("https", "shop.example")
        assert api.http.put(url.path, content=orders(1)).status_code == 202
        for path in (upload["start_url"], f"{upload['status_url']}/undo"):
            assert_problem(api.http.post(path, headers=bearer("reader")), 403)
        assert api.http.post(upload["start_url"], headers=bearer("writer")).status_code == 202


def test_with_supabase_storage_the_file_goes_there(settings: Settings, tmp_path: Path) -> None:
    key = ApiKey("writer", sha256(KEYS["writer"].encode()).hexdigest(), frozenset({"read", "write"}))
    with storage() as (url, objects):
        hosted = replace(
            settings,
            environment="production",
            api_keys=(key,),
            supabase_url=url,
            supabase_secret_key=KEY,
            storage_folder=tmp_path / "unused",
        )
        with running(hosted) as api:
            api.http.headers.update(bearer("writer"))
            upload = opened(api)
            assert upload["upload_url"].startswith(f"{url}/storage/v1/object/upload/sign/imports/incoming/")
            assert_problem(api.http.post(upload["start_url"]), 404)
            assert httpx.put(upload["upload_url"], content=orders(5)).status_code == 200
            assert api.http.post(upload["start_url"]).json()["size_bytes"] == len(orders(5))
            assert ("import/file.requested", upload["import_id"]) in send_after(api, upload["import_id"])
            files.advance_import(api.settings, UUID(upload["import_id"]))
            assert state(api, upload)["loaded"] == 5
            assert len(objects) == 1
            assert not hosted.storage_folder.exists()


def wait_for(is_so, seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)
