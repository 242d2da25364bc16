"""A development server as far as the app meets one: it takes or refuses apps, and forgets them with its end.

It takes events while it has no app and answers 200, as the real one does: `dropped` are the names of those.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any, TypeAlias

Answer: TypeAlias = tuple[int, dict[str, object]]
REFUSED: Answer = (400, {"error": "At least one function is invalid", "status": 400})


class DevServer(ThreadingHTTPServer):
    """`refusal` is what it answers to apps. `keeps_connections`: else each answer closes its connection."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int, refusal: Answer | None, keeps_connections: bool) -> None:
        handler = type("Handler", (_Handler,), {"protocol_version": f"HTTP/1.{int(keeps_connections)}"})
        super().__init__(("127.0.0.1", port), handler)
        self.refusal = refusal
        self.apps: dict[str, list[dict[str, Any]]] = {}
        self.taken: list[str] = []
        self.dropped: list[str] = []
        self.asked = 0
        self.connections: list[socket.socket] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.append(request)
        super().process_request(request, client_address)

    def register(self, url: str, functions: list[dict[str, Any]]) -> Answer:
        if self.refusal:
            return self.refusal
        changed = self.apps.get(url) != functions
        self.apps[url] = functions
        return 200, {"ok": True, "modified": changed}

    def receive(self, events: list[dict[str, Any]]) -> Answer:
        (self.taken if self.apps else self.dropped).extend(event["name"] for event in events)
        return 200, {"ids": ["" for _ in events], "status": 200}

    def describe(self) -> Answer:
        self.asked += 1
        functions = [function for functions in self.apps.values() for function in functions]
        return 200, {"functions": [{"slug": each["id"], "triggers": each["triggers"]} for each in functions]}


class _Handler(BaseHTTPRequestHandler):
    server: DevServer

    def do_GET(self) -> None:
        self._say(*(self.server.describe() if self.path == "/dev" else (200, {})))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path == "/fn/register":
            self._say(*self.server.register(body["url"], body["functions"]))
        else:
            self._say(*self.server.receive(body))

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
def dev_server(port: int = 0, refusal: Answer | None = None, *, keeps_connections: bool = False) -> Iterator[DevServer]:
    """Its end is the end of its connections, as of any process."""
    with DevServer(port, refusal, keeps_connections) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
            for connection in server.connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
