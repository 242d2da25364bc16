"""Publish to a development server of Inngest's only while it has the app.

Such a server remembers nothing when it is restarted, takes events before it has the app, answers 200 and runs none of
them. Its end is also the end of every connection to it. So before the first events the server is asked which functions
it has, and what then turns out to have gone over a new connection does not count: the server is asked again, and the
same is sent again. If functions are missing the app registers, and nothing is published before they are there.
What such a server had taken shortly before its end is published again: see `RecentlyPublished`.
"""

import os
import time
from collections.abc import Callable, Collection
from typing import Any, Final
from urllib.parse import urljoin

import httpx

from penstock.errors import Unavailable
from penstock.redaction import error_text, redact
from penstock.relay.recently_published import RecentlyPublished

SEND_SECONDS: Final = 10.0
# Servers close a connection that is idle for some seconds: ask again before, instead of publishing twice after.
IDLE_SECONDS: Final = 2.0
SERVE_PATH: Final = "/api/inngest"
_BROKEN: Final = (httpx.NetworkError, httpx.RemoteProtocolError)


class DevServer:
    """The way to a development server. `needed` are (function, event): without them there nothing is published."""

    def __init__(self, needed: Callable[[], Collection[tuple[str, str]]], published: RecentlyPublished) -> None:
        self._needed = needed
        self._published = published
        self._http = httpx.Client(timeout=SEND_SECONDS)
        self._opened = 0
        self._checked = -1
        self._used = 0.0

    def post(self, url: str, body: object) -> httpx.Response:
        """Post over a connection whose other end is known to have the app. Raises `Unavailable`."""
        for _ in range(2):
            if self._checked != self._opened or time.monotonic() > self._used + IDLE_SECONDS:
                self._check(url)
            opened = self._opened
            response = self._request("POST", url, json=body)
            if self._opened == opened:
                return response
        # it closes each connection after one answer; between these two looks it has not been restarted
        self._check(url)
        return response

    def close(self) -> None:
        self._http.close()

    def _check(self, url: str) -> None:
        if not self._has_app(url):
            if self._checked >= 0:
                self._published.lose()
            self._checked = -1
            _register()
            if not self._has_app(url):
                raise Unavailable("Inngest does not have this app (yet): nothing is published before", retry_after=5)
        self._checked = self._opened

    def _has_app(self, url: str) -> bool:
        response = self._request("GET", urljoin(url, "/dev"))
        if response.status_code == 404:
            return True  # self-hosted: it has no such list, but neither does it forget
        try:
            known = {
                (function.get("slug") or function["id"], trigger.get("event"))
                for function in response.json()["functions"] or []
                for trigger in function["triggers"]
            }
        except (ValueError, LookupError, TypeError, AttributeError):
            text = redact(response.text[:300])
            raise Unavailable(f"Inngest does not say which functions it has: {text}", retry_after=5) from None
        return known.issuperset(self._needed())

    def _request(self, method: str, url: str, **content: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, extensions={"trace": self._trace}, **content)
        except _BROKEN:
            self._published.lose()
            raise
        finally:
            self._used = time.monotonic()

    def _trace(self, event: str, details: object) -> None:
        if event == "connection.connect_tcp.started":
            self._opened += 1


def _register() -> None:
    """Have the app register where its own address is known; elsewhere the server, or `penstock up`, sees to it."""
    if not (origin := os.environ.get("INNGEST_SERVE_ORIGIN")):
        return
    try:
        httpx.put(urljoin(origin, SERVE_PATH), timeout=SEND_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"Inngest does not have this app, which does not answer: {error_text(error)}") from None
