"""A development server as far as `penstock up` meets one: it takes or refuses apps, and forgets them with its end."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TypeAlias

Answer: TypeAlias = tuple[int, dict[str, object]]
TAKEN: Answer = (200, {"ok": True, "modified": True})
REFUSED: Answer = (400, {"error": "At least one function is invalid", "status": 400})


class DevServer(ThreadingHTTPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, answer: Answer) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answer = answer
        self.apps: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: DevServer

    def do_GET(self) -> None:
        self._say(200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/fn/register":
            self._say(200, {"ids": [], "status": 200})
            return
        status, answer = self.server.answer
        if status == 200:
            self.server.apps.add(body["url"])
        self._say(status, answer)

    def log_message(self, format: str, *arguments: object) -> None:
        """Quiet."""

    def _say(self, status: int, answer: dict[str, object]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def dev_server(port: int = 0, answer: Answer = TAKEN) -> Iterator[DevServer]:
    with DevServer(port, answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
