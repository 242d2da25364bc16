"""Files in Supabase Storage: signed, listed, copied and removed by Supabase's client, read and written without it.

Bytes are streamed over Storage's HTTP interface, since the client would hold a whole file in memory.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import httpx

from penstock.errors import InvalidInput, NotFound, Unavailable
from penstock.settings import Settings
from penstock.supabase_project.client import project_client

BUCKET = "imports"
BLOCK = 1 << 20
TIMEOUT = httpx.Timeout(30.0, read=120.0)
LISTED_AT_ONCE = 1000
_REFUSALS = (400, 403, 409, 413, 415)


class RemoteStore:
    """One private bucket. Keys are paths in it."""

    def __init__(self, settings: Settings) -> None:
        self._url, self._key = settings.supabase_url or "", settings.supabase_secret_key or ""
        # a secret key is not a JWT: the gateway wants it as apikey, and as bearer only if both are equal
        self._client = httpx.Client(
            base_url=f"{settings.supabase_url}/storage/v1",
            headers={"apikey": self._key, "authorization": f"Bearer {self._key}"},
            timeout=TIMEOUT,
        )

    def close(self) -> None:
        self._client.close()

    def exists(self, key: str) -> bool:
        return self._answer("HEAD", f"/object/authenticated/{_path(key)}", missing_is_fine=True).is_success

    def put(self, key: str, file: BinaryIO) -> None:
        """Store what the file holds from its beginning; the same again is fine."""
        size = file.seek(0, 2)
        file.seek(0)
        headers = {"content-type": "application/octet-stream", "content-length": str(size), "x-upsert": "true"}
        self._answer("POST", f"/object/{_path(key)}", content=_blocks(file), headers=headers)

    def copy(self, key: str, to: str) -> None:
        with _translated():
            self._bucket.copy(key, to)

    def delete(self, keys: Sequence[str]) -> None:
        """Those that are not there are no error."""
        if keys:  # an empty list is an error to Storage
            with _translated():
                self._bucket.remove(list(keys))

    def sign_upload(self, key: str) -> str:
        """A URL to which anyone may PUT one file, for two hours."""
        with _translated():
            return str(self._bucket.create_signed_upload_url(key)["signed_url"])

    def size(self, key: str) -> int:
        answer = self._answer("HEAD", f"/object/authenticated/{_path(key)}")
        return int(answer.headers.get("content-length", "0"))

    def objects(self, folder: str = "") -> Iterator[tuple[str, datetime]]:
        """Every key and when it was written last. Folders are read whole before they are yielded from."""
        for entry in list(self._entries(folder)):
            key = f"{folder}/{entry['name']}".lstrip("/")
            if entry["id"] is None:
                yield from self.objects(key)
            else:
                yield key, datetime.fromisoformat(entry["updated_at"] or entry["created_at"])

    def _entries(self, folder: str) -> Iterator[dict[str, Any]]:
        """One level of the bucket; a folder has no id."""
        offset = 0
        while entries := self._list(folder, offset):
            yield from entries
            offset += len(entries)

    def _list(self, folder: str, offset: int) -> list[dict[str, Any]]:
        by_name = {"column": "name", "order": "asc"}
        with _translated():
            asked = {"limit": LISTED_AT_ONCE, "offset": offset, "sortBy": by_name}
            return cast(list[dict[str, Any]], self._bucket.list(folder, asked))

    @cached_property
    def _bucket(self) -> Any:
        return project_client(self._url, self._key, self._client).storage.from_(BUCKET)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        file = _RemoteFile(self._client, f"/object/authenticated/{_path(key)}")
        try:
            yield cast(BinaryIO, file)
        finally:
            file.close()

    def _answer(self, method: str, path: str, *, missing_is_fine: bool = False, **arguments: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **arguments)
        except httpx.TransportError as error:
            raise Unavailable(f"Supabase Storage cannot be reached: {error}", retry_after=5) from error
        return answer if missing_is_fine and answer.status_code in (400, 404) else _checked(answer)


def send(url: str, file: BinaryIO, size: int) -> None:
    """PUT a file to a signed address, block by block. Raises `InvalidInput` with Storage's reason if it is refused."""
    headers = {"content-type": "application/octet-stream", "content-length": str(size)}
    try:
        answer = httpx.put(url, content=_blocks(file), headers=headers, timeout=TIMEOUT)
    except httpx.TransportError as error:
        raise Unavailable(f"Supabase Storage broke off: {error}", retry_after=5) from error
    if answer.status_code in _REFUSALS:
        raise InvalidInput(f"Supabase Storage refuses it: {_reason(answer)}", field="file")
    _checked(answer)


@contextmanager
def _translated() -> Iterator[None]:
    """What the client raises, in the project's words. Storage's own say nothing that a caller could act on."""
    from supabase import StorageException

    try:
        yield
    except httpx.TransportError as error:
        raise Unavailable(f"Supabase Storage cannot be reached: {error}", retry_after=5) from error
    except StorageException as error:
        raise _refused(str(getattr(error, "status", ""))) from error
    except (ValueError, KeyError, TypeError) as error:  # an answer that is not Storage's, such as a gateway's page
        raise Unavailable("Supabase Storage answered something else", retry_after=5) from error


def _refused(status: str) -> NotFound | Unavailable:
    if status in ("400", "404"):
        return NotFound("the file is not in Supabase Storage")
    if status in ("401", "403"):
        return Unavailable(f"Supabase Storage refuses SUPABASE_SECRET_KEY ({status})", retry_after=60)
    return Unavailable(f"Supabase Storage answered {status or 'without a token'}", retry_after=5)


def _reason(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


class _RemoteFile:
    """Enough of a binary file to read it in order from any place, found from either end. Close it."""

    def __init__(self, client: httpx.Client, path: str) -> None:
        self._client = client
        self._path = path
        self._response: httpx.Response | None = None
        self._blocks: Iterator[bytes] = iter(())
        self._rest = b""
        self._offset = 0

    def seek(self, offset: int, whence: int = 0) -> int:
        if whence == 2:
            offset += self._size()
        self.close()
        self._offset = offset
        return offset

    def tell(self) -> int:
        return self._offset

    def _size(self) -> int:
        try:
            answer = _checked(self._client.head(self._path))
        except httpx.TransportError as error:
            raise Unavailable(f"Supabase Storage cannot be reached: {error}", retry_after=5) from error
        return int(answer.headers.get("content-length", "0"))

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end. A connection that breaks is taken up again where it broke."""
        while len(self._rest) < size:
            try:
                block = next(self._stream(), b"")
            except httpx.TransportError as error:
                raise Unavailable(f"Supabase Storage broke off at byte {self._offset}", retry_after=5) from error
            if not block:
                break
            self._rest += block
        data, self._rest = self._rest[:size], self._rest[size:]
        self._offset += len(data)
        return data

    def _stream(self) -> Iterator[bytes]:
        if self._response is None:
            request = self._client.build_request(
                "GET", self._path, headers={"range": f"bytes={self._offset}-", "accept-encoding": "identity"}
            )
            self._response = self._client.send(request, stream=True)
            if self._response.status_code == 416:  # the offset is the end
                return iter(())
            _checked(self._response)
            self._blocks = self._response.iter_raw(BLOCK)
        return self._blocks

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._response, self._blocks, self._rest = None, iter(()), b""


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    if answer.status_code in (400, 404):  # Storage says 400 for a missing object, with 404 in the body
        raise NotFound("the file is not in Supabase Storage")
    raise Unavailable(f"Supabase Storage answered {answer.status_code}", retry_after=5)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        yield block


def _path(key: str) -> str:
    return f"{BUCKET}/{quote(key)}"
