"""What Supabase's client does for Storage, and what its errors become; no key is in any of them."""

from collections.abc import Callable, Iterator
from contextlib import closing

import httpx
import pytest
import respx

from penstock.errors import NotFound, PenstockError, Unavailable
from penstock.ingest.files.storage.remote import RemoteStore
from penstock.settings import Settings
from tests.integration.ingest.files.storage_stub import KEY

URL = "https://project.supabase.co"
SETTINGS = Settings(database_url="", supabase_url=URL, supabase_secret_key=KEY)


@pytest.fixture
def store() -> Iterator[RemoteStore]:
    with respx.mock, closing(RemoteStore(SETTINGS)) as store:
        yield store


CALLS: dict[str, Callable[[RemoteStore], object]] = {
    "sign": lambda store: store.sign_upload("incoming/1"),
    "copy": lambda store: store.copy("incoming/1", "ab/abc"),
    "remove": lambda store: store.delete(["incoming/1"]),
    "list": lambda store: list(store.objects()),
}


def test_nothing_is_removed_without_a_call(store: RemoteStore) -> None:
    store.delete([])


def test_many_are_removed_in_one_call(store: RemoteStore) -> None:
    route = respx.delete(f"{URL}/storage/v1/object/imports").respond(200, json=[])
    store.delete(["ab/abc", "cd/cde"])
    (call,) = route.calls
    assert call.request.content == b'{"prefixes":["ab/abc","cd/cde"]}'
    assert call.request.headers["apikey"] == KEY
    assert call.request.headers["authorization"] == f"Bearer {KEY}"


def test_a_signed_address_is_one_of_the_project(store: RemoteStore) -> None:
    path = "/object/upload/sign/imports/incoming/1"
    respx.post(f"{URL}/storage/v1{path}").respond(200, json={"url": f"{path}?token=t"})
    assert store.sign_upload("incoming/1") == f"{URL}/storage/v1{path}?token=t"


def stored_error(status: int, code: str, message: str = "no") -> httpx.Response:
    """As Storage says it: the status that matters is in the body."""
    return httpx.Response(400, json={"statusCode": str(status), "error": code, "message": message})


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (stored_error(404, "not_found", "Object not found"), NotFound, "is not in Supabase Storage"),
        (stored_error(403, "Unauthorized", f"bad {KEY}"), Unavailable, "refuses SUPABASE_SECRET_KEY"),
        (httpx.Response(503, json={"message": "busy"}), Unavailable, "answered 503"),
        (httpx.Response(502, text="<html>"), Unavailable, "answered 502"),
        (httpx.Response(200, text="<html>"), Unavailable, "answered something else"),
        (httpx.ConnectError("refused"), Unavailable, "cannot be reached: refused"),
        (httpx.ReadTimeout("slow"), Unavailable, "cannot be reached: slow"),
    ],
)
def test_what_the_client_raises_is_an_error_of_the_projects(
    store: RemoteStore, call: str, answer: httpx.Response | Exception, kind: type[PenstockError], said: str
) -> None:
    respx.route().mock(**{"side_effect" if isinstance(answer, Exception) else "return_value": answer})  # type: ignore[arg-type]
    with pytest.raises(kind, match=said) as caught:
        CALLS[call](store)
    assert KEY not in str(caught.value)
    assert KEY not in repr(store)
