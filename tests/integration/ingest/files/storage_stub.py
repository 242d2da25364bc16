"""Supabase Storage as far as imports use it: objects, ranges, copy, lists, signed uploads. Held in memory.

An object is as old as `written` says; without an entry it is of the year 2020.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

KEY = "sb_secret_of_the_tests"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    written: dict[str, str]

    def do_HEAD(self) -> None:
        self._read(body=False)

    def do_GET(self) -> None:
        self._read(body=True)

    def _read(self, *, body: bool) -> None:
        data = self.objects.get(self._key("/object/authenticated/")) if self._is_known() else None
        if data is None:
            return self._answer(400, b'{"statusCode":"404","error":"not_found"}', body=body)
        start = int(re.sub(r"\D", "", self.headers.get("range", "0")) or 0)
        if start and start >= len(data):
            return self._answer(416, b"")
        return self._answer(206 if start else 200, data[start:], body=body)

    def do_POST(self) -> None:
        content = self._body()
        if not self._is_known():
            return self._answer(400, b'{"message":"Invalid key"}')
        if self.path.endswith("/object/copy"):
            asked = json.loads(content)
            self.objects[f"imports/{asked['destinationKey']}"] = self.objects[f"imports/{asked['sourceKey']}"]
            return self._answer(200, b"{}")
        if self.path.endswith("/object/list/imports"):
            return self._answer(200, json.dumps(self._list(**json.loads(content))).encode())
        if "/object/upload/sign/" in self.path:
            url = f"/object/upload/sign/{self._key('/object/upload/sign/')}?token=t"
            return self._answer(200, json.dumps({"url": url}).encode())
        self.objects[self._key("/object/")] = content
        return self._answer(200, b"{}")

    def _list(self, prefix: str, limit: int, offset: int, sortBy: dict[str, str]) -> list[dict[str, object]]:  # noqa: N803
        """One level below the prefix; what lies deeper shows as a folder, which has no id."""
        folder = f"imports/{prefix}/" if prefix else "imports/"
        entries: dict[str, dict[str, object]] = {}
        for key in sorted(key for key in self.objects if key.startswith(folder)):
            name, deeper, _ = key.removeprefix(folder).partition("/")
            moment = None if deeper else self.written.get(key, "2020-01-01T00:00:00.000Z")
            entries[name] = {"name": name, "id": None if deeper else key, "updated_at": moment, "created_at": moment}
        return list(entries.values())[offset : offset + limit]

    def do_PUT(self) -> None:
        content = self._body()
        if not self.path.endswith("?token=t"):
            return self._answer(400, b"{}")
        self.objects[self._key("/object/upload/sign/")] = content
        return self._answer(200, b"{}")

    def do_DELETE(self) -> None:
        if not self._is_known() or not self.path.endswith("/object/imports"):
            return self._answer(400, b'{"statusCode":"403","error":"Unauthorized","message":"Invalid key"}')
        for key in json.loads(self._body())["prefixes"]:
            self.objects.pop(f"imports/{key}", None)
        return self._answer(200, b"[]")

    def _key(self, after: str) -> str:
        return unquote(urlsplit(self.path).path.partition(after)[2])

    def _is_known(self) -> bool:
        return self.headers["apikey"] == KEY and self.headers["authorization"] == f"Bearer {KEY}"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["content-length"]))

    def _answer(self, status: int, data: bytes, *, body: bool = True) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet: a test's output is for its failures."""


@contextmanager
def storage() -> Iterator[tuple[str, dict[str, bytes]]]:
    """The project's URL, and the objects by `bucket/path`."""
    with storage_with_ages() as (url, objects, _):
        yield url, objects


@contextmanager
def storage_with_ages() -> Iterator[tuple[str, dict[str, bytes], dict[str, str]]]:
    handler = type("Handler", (_Handler,), {"objects": {}, "written": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler.objects, handler.written
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
