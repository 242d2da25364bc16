"""A development stand-in for the Inngest server: one process, on loopback, for one developer.

It speaks Inngest's open SDK protocol: apps register by PUT or at `/fn/register`, events come in at `/e/<key>`,
functions are called with memoised steps; retries with backoff, Retry-After, no-retry, sleeps, waits, invocations,
parallel steps, cron, batches, concurrency, idempotency and `inngest/function.failed` work as on the real server.
An event answered with 200 survives `kill -9`, and its runs go on after a restart.

As on the real server, measured on one: events of a request and of a batch come in any order; what came before a bad
event is kept and runs, and its ids are in the 400; an event id that comes again gets a new internal id and no new run;
a seed is ten bytes in base64, or ignored; a cron's event id is its time; an app that is away is JSON inside JSON;
events that come before an app has registered run nothing; it waits as long (`inngest_timing`, unless `STANDIN=fast`).

Where it differs on purpose, being stricter: an event may have 256 KiB, as on the free plan (a dev server takes 3 MiB);
an empty request, an unknown field and a lone surrogate are refused (there 200); `206 []` is a failed attempt (there it
is called again without end). Being kinder: it keeps its state, as a self-hosted server does (`--database :memory:`
forgets it, as a dev server does); refusals name the field; the REST answers are fresh and name functions by their slugs
(there they are seconds old, with UUIDs), which nothing of ours but tests reads.

What it does not do: check keys or signatures, listen beyond loopback, keep anything for longer than a day. It does not
know debounce, throttle, rate limit, priority, singleton, cancel, timeouts, nor more of CEL than `path == value` joined
by `&&`. What it does not know it refuses by name, at registration where that is possible.
"""

import argparse
import asyncio
import html
import json
import logging
import os
import random
import socket
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.local.inngest_engine import Engine
from penstock.local.inngest_messages import Json, Refused, read_events
from penstock.local.inngest_store import LAST_RUNS, Store
from penstock.local.inngest_timing import MEASURED, Timing, timing_of
from penstock.loopback import host_name, is_local_origin, is_loopback

log = logging.getLogger("penstock.local.inngest")

MAX_BODY = 32 * 1024**2
LAST_EVENTS = "select id, name, body from events order by received desc limit 50"
PAGE = """<!doctype html><meta charset=utf-8><meta http-equiv=refresh content=3><title>Inngest stand-in</title>
<style>body{font:14px system-ui;margin:2em}td,th{text-align:left;padding:.2em .8em;vertical-align:top}
td{border-top:1px solid #ddd;overflow-wrap:anywhere}</style><h1>Local Inngest stand-in</h1>"""


async def read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)


async def answer_refusal(request: Request, error: Exception) -> Response:
    return JSONResponse({"ids": [], "status": 400, "error": str(error)}, 400)


class LocalOnly:
    """Answer only what is meant for this machine: anybody who reaches this server could start any function."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (reason := foreign(Headers(scope=scope))):
            await JSONResponse({"status": 403, "error": reason}, 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def foreign(headers: Headers) -> str:
    """Why the request is not meant for this machine; empty if it is."""
    if not is_loopback(host_name(host := headers.get("host", ""))):
        return f"this server answers to localhost, not to {host[:100]!r}"
    origin = headers.get("origin")
    return "" if origin is None or is_local_origin(origin) else "this server does not answer pages of other sites"


class Api:
    """The HTTP side: events and registrations come in, runs can be looked at."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.store = engine, engine.store
        self.routes = [
            Route("/e/{key}", self.receive, methods=["POST"]),
            Route("/fn/register", self.register, methods=["POST"]),
            Route("/v0/runs/{id}/batch", self.batch),
            Route("/v0/runs/{id}/actions", self.actions),
            Route("/v1/events/{id}/runs", self.event_runs),
            Route("/v1/runs/{id}", self.run),
            Route("/dev", self.describe),
            Route("/health", self.health),
            Route("/", self.page),
        ]

    async def receive(self, request: Request) -> Response:
        """Take events up to the first bad one, in an order of chance; the answer leaves after the commit."""
        now, seed = time.time(), request.headers.get("x-inngest-event-id-seed", "")
        events, refusal = read_events(await read_body(request), seed, now)
        with self.store.db:
            for internal_id, event in random.sample(events, len(events)):
                self.engine.publish(event, internal_id, now)
        ids = [internal_id for internal_id, _ in events]
        if refusal:
            return JSONResponse({"ids": ids, "status": 400, "error": str(refusal)}, 400)
        return JSONResponse({"ids": ids, "status": 200})

    async def register(self, request: Request) -> Response:
        try:
            if request.headers.get("x-inngest-expected-server-kind", "dev") != "dev":
                raise Refused("this is a dev server and the app expects another kind")
            body = json.loads(await read_body(request))
            changed = self.engine.register(body["appname"], body["url"], body["functions"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            reason = str(error) if isinstance(error, Refused) else f"malformed, {error!r}"
            raise Refused(f"registration refused: {reason}") from error
        return JSONResponse({"ok": True, "modified": changed})

    async def batch(self, request: Request) -> Response:
        return Response(f"[{','.join(self.store.events(request.path_params['id']))}]", media_type="application/json")

    async def actions(self, request: Request) -> Response:
        return JSONResponse(
            {key: json.loads(memo) for key, memo in self.store.memos(request.path_params["id"]).items()}
        )

    async def event_runs(self, request: Request) -> Response:
        sql = """select * from runs where id in (select run_id from run_events r join events e on e.id = r.event
                 where e.id = ?1 or e.event_id = ?1)"""
        return JSONResponse({"data": [run_json(run) for run in self.store.rows(sql, request.path_params["id"])]})

    async def run(self, request: Request) -> Response:
        for run in self.store.rows("select * from runs where id = ?", request.path_params["id"]):
            return JSONResponse({"data": run_json(run)})
        return JSONResponse({"error": "there is no such run", "status": 404}, 404)

    async def describe(self, request: Request) -> Response:
        functions = [function for _, function in self.engine.functions.values()]
        urls = list(self.engine.urls.values())
        return JSONResponse({"version": "penstock-local", "functions": functions, "handlers": urls})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": 200, "message": "OK"})

    async def page(self, request: Request) -> Response:
        functions = [(key, app, json.dumps(f["triggers"])) for key, (app, f) in sorted(self.engine.functions.items())]
        tables = [
            table("Functions", ("id", "app", "triggers"), functions),
            table(
                "Last runs",
                ("run", "function", "status", "began", "seconds", "steps", "output"),
                self.store.rows(LAST_RUNS),
            ),
            table("Last events", ("id", "name", "event"), self.store.rows(LAST_EVENTS)),
        ]
        return HTMLResponse(PAGE + "".join(tables))


def run_json(run: sqlite3.Row) -> Json:
    """Give a run the shape of Inngest's REST API."""
    times = {name: run[name] and datetime.fromtimestamp(run[name], UTC).isoformat() for name in ("created", "ended")}
    known = {"run_id": run["id"], "function_id": run["function_id"], "event_id": run["event"], "status": run["status"]}
    output = json.loads(run["output"]) if run["output"] else None
    return known | {"run_started_at": times["created"], "ended_at": times["ended"], "output": output}


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [[html.escape("" if value is None else str(value)[:400]) for value in row] for row in rows]
    body = "".join(f"<tr>{''.join(f'<td>{cell}' for cell in line)}" for line in lines)
    return f"<h2>{title}</h2><table><tr>{''.join(f'<th>{name}' for name in head)}{body}</table>"


async def keep_synced(engine: Engine, urls: Sequence[str], interval: float) -> None:
    """Ask the apps to register until they do, then every `interval` seconds (0: not again); report what changes."""
    reported: dict[str, str] = {}
    pause = 0.1
    while True:
        for url in {*urls, *engine.urls.values()}:
            news = await sync(engine, url)
            if news != reported.get(url):
                log.warning("app %s %s", url, news or "is registered")
            reported[url] = news
        pause = min(pause * 1.3, interval or 5.0) if not reported or any(reported.values()) else interval
        if not interval and reported and not any(reported.values()):
            return
        await asyncio.sleep(pause)


async def sync(engine: Engine, url: str) -> str:
    """Ask one app to register; return why it did not."""
    try:
        async with engine.client() as http:
            answer = await http.put(url, json={"url": url}, headers={"x-inngest-server-kind": "dev"}, timeout=10)
        body = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        return f"does not answer yet ({type(error).__name__})"
    # The Python SDK passes the text of a refusal on, but with status 200.
    return "" if answer.is_success and "error" not in body else str(body.get("error") or body)


async def keep_small(store: Store) -> None:
    while True:
        while store.purge(time.time()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(600)


class InngestServer(uvicorn.Server):
    """A server that listens already; `run()` serves until `should_exit` is set. Port 0 picks a free one.

    Raises OSError when the port is busy or the database belongs to another server, with a sentence for people.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 8288,
        database: str | Path = ".penstock/inngest.db",
        apps: Sequence[str] = (),
        time_scale: float = 1.0,
        poll_interval: float = 5.0,
        timing: Timing = MEASURED,
    ) -> None:
        if host not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"this server checks no keys and listens on loopback only, not on {host}")
        try:
            self.socket = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        except OSError as error:
            raise OSError(f"port {port} on {host} cannot be used: {error.strerror}") from error
        # asyncio does so only for sockets it made itself; without it an answer waits 40 ms for an acknowledgement.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.engine = Engine(Store(database), time_scale, timing)
        except sqlite3.Error as error:
            self.socket.close()
            raise OSError(f"{database} cannot be used, is another server running on it? ({error})") from error
        self.apps, self.poll_interval = apps, poll_interval
        self.url = f"http://{host}:{self.socket.getsockname()[1]}"
        app = Starlette(
            routes=Api(self.engine).routes,
            lifespan=self.serving,
            middleware=[Middleware(LocalOnly)],
            exception_handlers={Refused: answer_refusal},
        )
        super().__init__(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", ws="none"))

    @asynccontextmanager
    async def serving(self, app: Starlette) -> AsyncIterator[None]:
        self.engine.open()
        work = [keep_synced(self.engine, self.apps, self.poll_interval), keep_small(self.engine.store)]
        tasks = [asyncio.create_task(each) for each in work]
        yield
        await self.engine.close(tasks)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets=sockets or [self.socket])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="inngest_server", description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address")
    parser.add_argument("--port", type=int, default=8288)
    parser.add_argument(
        "--database",
        default=".penstock/inngest.db",
        help="the file that keeps events and runs; `:memory:` forgets them when it ends, as the real dev server does",
    )
    parser.add_argument("-u", "--app", dest="apps", action="append", default=[], help="serve URL of an app; repeatable")
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor on the pauses between attempts")
    parser.add_argument("--poll-interval", type=float, default=5.0, help="seconds between syncs; 0 syncs each app once")
    logging.basicConfig(format="inngest: %(message)s", level=logging.WARNING)
    try:
        server = InngestServer(**vars(parser.parse_args(arguments)), timing=timing_of(os.environ))
    except OSError as error:
        sys.exit(f"inngest: {error}")
    print(f"inngest: a stand-in listens on {server.url}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
