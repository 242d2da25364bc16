"""A development stand-in for the Inngest server: one process, on loopback, for one developer.

It speaks Inngest's open SDK protocol: apps register by PUT or at `/fn/register`, events come in at `/e/<key>`,
functions are called with memoised steps; retries with backoff, Retry-After, no-retry, sleeps, waits, invocations,
parallel steps, cron, batches, concurrency, idempotency and `inngest/function.failed` work as on the real server.
An event answered with 200 survives `kill -9`, and its runs go on after a restart.

What it does not do: check keys or signatures, listen beyond loopback, keep anything for longer than a day. It does
not know debounce, throttle, rate limit, priority, singleton, cancel, timeouts, nor more of CEL than `path == value`
joined by `&&`; what it does not know it refuses by name, at registration where that is possible.
"""

import argparse
import asyncio
import hashlib
import heapq
import html
import ipaddress
import json
import logging
import random
import re
import socket
import sqlite3
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import uvicorn
from croniter import croniter  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from penstock.local.inngest_store import RUN, Store, ulid

log = logging.getLogger("penstock.local.inngest")
Json = dict[str, Any]
Slots = tuple[tuple[str, int], ...]

MIB = 1024 * 1024
MAX_EVENT, MAX_EVENTS, MAX_BODY, MAX_CALL, MAX_STATE, MAX_STEPS = MIB // 4, 5_000, 32 * MIB, 4 * MIB, 32 * MIB, 1_000
CALLS_AT_ONCE = 64
GRACE = 5.0  # how long calls wait for an app that has not come back since this server started
BACKOFF = (15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200)
FAILED, FINISHED, INVOKED = "inngest/function.failed", "inngest/function.finished", "inngest/function.invoked"
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PATH = r"(?:event|async)(?:\.\w+)+"
OPERAND = rf"""({PATH}|'[^'\\]*'|"[^"\\]*"|-?\d+(?:\.\d+)?|true|false|null)"""


class Refused(ValueError):
    """Something that this stand-in does not know or cannot read; the text names it."""


def duration(text: str) -> float:
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|[smhdw]))+", text):
        raise Refused(f"{text!r} is not a duration such as 30s or 2h45m")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|[smhdw])", text))


def next_firing(cron: str, after: float = 0.0) -> float:
    zone, fields = re.findall(r"^(?:TZ=(\S+) +)?(.*)", cron)[0]
    if len(fields.split()) != 5:
        raise Refused(f"the cron {cron!r} needs five fields")
    return float(croniter(fields, datetime.fromtimestamp(after, ZoneInfo(zone or "UTC"))).get_next(float))


def value_of(operand: str, scope: Mapping[str, Any]) -> Any:
    """Evaluate a literal or a path; a path to nothing is a LookupError, as in CEL."""
    if not re.fullmatch(OPERAND, operand):
        raise Refused(f"{operand!r} is not known: only literals and plain paths such as event.data.id are")
    if not re.fullmatch(PATH, operand):
        return operand[1:-1] if operand[0] in "'\"" else json.loads(operand)
    value: Any = scope
    for part in operand.split("."):
        if not isinstance(value, Mapping):
            raise LookupError(operand)
        value = value[part]
    return value


def holds(expression: str, event: Json, new: Json | None = None) -> bool:
    """Evaluate `a == b && c != d`; false where a path leads nowhere. `new` is the event that a step waited for."""
    terms = [re.fullmatch(rf"\s*{OPERAND}\s*([=!]=)\s*{OPERAND}\s*", term) for term in expression.split("&&")]
    if None in terms:
        raise Refused(f"the expression {expression!r} is not known: write `path == value`, joined by &&")
    with suppress(LookupError):
        sides = [(*(value_of(m[i], {"event": event, "async": new}) for i in (1, 3)), m[2]) for m in terms if m]
        return all((a == b and (type(a) is bool) == (type(b) is bool)) == (op == "==") for a, b, op in sides)
    return False


def key_of(key: str | None, event: Json) -> str:
    with suppress(LookupError):
        return json.dumps(value_of(key, {"event": event}) if key else "")
    return "null"


def a_key(key: str) -> str:
    return key_of(key, {})


def a_text(value: str) -> None:
    if not 0 < len(value) <= 512 or not value.encode():
        raise Refused("needs 1 to 512 characters")


def a_name(value: str) -> None:
    a_text(value)
    if value.lower().startswith("inngest/") and value != FAILED:
        raise Refused(f"{value} is reserved")


def a_number(low: int, high: int) -> Callable[[int], None]:
    def a_number_between(value: int) -> None:
        if type(value) is not int or not low <= value <= high:
            raise Refused(f"{value!r} is not a whole number from {low} to {high}")

    return a_number_between


EVENT = {"name": a_name, "data": dict, "id": a_text, "ts": a_number(0, 4_102_444_800_000), "user": dict, "v": a_text}
STEP = {"id": str, "name": str, "retries": {"attempts": a_number(0, 20)}, "runtime": {"type": str, "url": httpx.URL}}
FUNCTION = {
    "id": a_text,
    "name": str,
    "triggers": [{"event": a_name, "expression": lambda text: holds(text, {}), "cron": next_firing}],
    "steps": {"step": STEP},
    "concurrency": [{"key": a_key, "limit": a_number(1, 1_000_000), "scope": str}],
    "batchEvents": {"maxSize": a_number(1, 100), "timeout": duration, "key": a_key},
    "idempotency": a_key,
}


def check(value: Any, shape: Any, where: str) -> None:
    """Refuse what does not fit the shape and name the field; None and an empty list or object mean absent."""
    if value in (None, [], {}):
        return
    kind = shape if shape in (dict, str) else type(shape)
    if kind in (dict, list, str) and not isinstance(value, kind):
        raise Refused(f"{where} is not of type {kind.__name__}")
    if isinstance(shape, list):
        value, shape = dict(enumerate(value)), dict.fromkeys(range(len(value)), shape[0])
    if isinstance(shape, dict):
        for field, inner in value.items():
            if field not in shape:
                raise Refused(f"{where}.{field} is not known to this stand-in")
            check(inner, shape[field], f"{where}.{field}")
    elif shape not in (dict, str):
        try:
            shape(value)
        except (ValueError, TypeError, KeyError, AttributeError, httpx.InvalidURL) as error:
            raise Refused(f"{where}: {error}") from error


def read_events(body: bytes, seed: str, now: float) -> list[tuple[str, Json]]:
    """Read one event or a list as (internal id, event); the same seed gives the same internal ids."""
    try:
        items = json.loads(body, parse_constant=lambda name: check(name, a_number(0, 0), "a number"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from error
    items = items if isinstance(items, list) else [items]
    if not 0 < len(items) <= MAX_EVENTS:
        raise Refused(f"a request carries 1 to {MAX_EVENTS} events, not {len(items)}")
    return [read_event(item, index, seed, now) for index, item in enumerate(items)]


def read_event(item: Any, index: int, seed: str, now: float) -> tuple[str, Json]:
    where = f"event {index}"
    if not isinstance(item, dict) or "name" not in item:
        raise Refused(f"{where} is not an object with a name")
    check(item, EVENT, where)
    if (size := len(json.dumps(item, ensure_ascii=False).encode(errors="surrogatepass"))) > MAX_EVENT:
        raise Refused(f"{where} has {size} bytes, more than {MAX_EVENT}")
    millis = seed.partition(",")[0]
    seeded = ulid(int(millis) / 1000, hashlib.sha256(f"{seed} {index}".encode()).digest()) if millis.isdigit() else ""
    internal_id = seeded or ulid(now)
    event = {"name": item["name"], "data": item.get("data") or {}, "user": item.get("user") or {}}
    event |= {"id": item.get("id") or internal_id, "ts": item.get("ts") or int(now * 1000)}
    return internal_id, event | ({"v": item["v"]} if item.get("v") else {})


def problem(name: str, message: str) -> Json:
    return {"name": name, "message": message, "stack": ""}


def retry_time(header: str, now: float) -> float | None:
    """Read Retry-After, seconds or an ISO time, held between a second and a day as on the real server."""
    with suppress(ValueError):
        at = now + int(header) if header.isdigit() else datetime.fromisoformat(header).timestamp()
        return min(max(at, now + 1), now + 86_400)
    return None


class Engine:
    """The queue over the rows on disk: what is due, what runs, which places under concurrency limits are taken."""

    def __init__(self, store: Store, time_scale: float) -> None:
        self.store, self.time_scale, self.wake = store, time_scale, asyncio.Event()
        limits = httpx.Limits(max_connections=CALLS_AT_ONCE, keepalive_expiry=2)
        self.http = httpx.AsyncClient(timeout=httpx.Timeout(7200, connect=10), limits=limits, trust_env=False)
        self.functions: dict[str, tuple[str, Json]] = {}
        self.urls: dict[str, str] = {}
        self.back: set[str] = set()
        self.active: set[tuple[str, str]] = set()
        self.ready: dict[tuple[str, Slots], deque[tuple[str, str]]] = {}
        self.used: Counter[str] = Counter()
        self.calls: set[asyncio.Task[None]] = set()
        self.held_until = time.time() + GRACE
        self.heap = sorted([(self.held_until, "", ""), *store.due()])
        for row in store.rows("select * from apps"):
            self.install(row["app_id"], row["url"], json.loads(row["functions"]))

    def register(self, app_id: str, url: str, functions: list[Json]) -> bool:
        """Replace an app's functions, all of them or none; True if something changed."""
        for function in functions:
            check(function, FUNCTION, f'function "{function["id"]}"')
        text, sql = json.dumps(functions), "select 1 from apps where (app_id, url, functions) = (?, ?, ?)"
        if changed := not self.store.rows(sql, app_id, url, text):
            with self.store.db:
                self.store.write("insert or replace into apps values (?, ?, ?)", app_id, url, text)
                self.install(app_id, url, functions)
        self.back.add(app_id)
        self.wake.set()
        return changed

    def install(self, app_id: str, url: str, functions: list[Json]) -> None:
        self.urls[app_id] = url
        self.functions = {key: value for key, value in self.functions.items() if value[0] != app_id}
        self.functions |= {function["id"]: (app_id, function) for function in functions}
        for run_id, cron in ((f"cron:{f['id']}", t["cron"]) for f in functions for t in f["triggers"] if "cron" in t):
            due = next_firing(cron, time.time())
            if self.store.plan(run_id, cron, "Cron", cron, "{}", due):
                self.push(due, run_id, cron)

    def publish(self, event: Json, internal_id: str, now: float) -> str:
        """Store an event, start what it triggers and resume what waits for it; return its internal id."""
        name, body = event["name"], json.dumps(event)
        internal_id = self.store.add_event(internal_id, event["id"], name, body, now)
        names = {name, *(name[: place.end()] + "*" for place in re.finditer("[/.]", name))}
        for _, function in self.functions.values():
            triggers = (t.get("expression") for t in function["triggers"] if t.get("event") in names)
            if any(not expression or holds(expression, event) for expression in triggers):
                self.start(function, event, internal_id, now)
        for row in self.store.waiting(name):
            expression = json.loads(row["opts"]).get("if")
            if not expression or holds(expression, json.loads(self.store.events(row["run_id"])[0]), event):
                self.memoize(row["run_id"], row["step_id"], body, now)
        return internal_id

    def start(self, function: Json, event: Json, internal_id: str, now: float, *parent: str) -> None:
        """Make a run, or join one that still gathers its batch; once per function and event id in 24 hours."""
        key = function.get("idempotency")
        keys = [event["id"], *([key_of(key, event)] if key else [])]
        if not all(self.store.first_time(f"{function['id']} {i} {key}", now) for i, key in enumerate(keys)):
            return
        batch = function.get("batchEvents") or {"maxSize": 1}
        due = now + duration(batch.get("timeout") or "60s") if batch["maxSize"] > 1 and not parent else now
        key = key_of(batch.get("key"), event)
        run_id, size = self.store.join_run(function["id"], key, internal_id, now, due, *parent)
        if size == batch["maxSize"] and due > now:
            self.store.write("update runs set status = 'Scheduled' where id = ?", run_id)
            self.discover(run_id, now)
        elif size == 1:
            self.push(due, run_id, "step")

    def push(self, due: float, run_id: str, step_id: str) -> None:
        heapq.heappush(self.heap, (due, run_id, step_id))
        self.wake.set()

    def discover(self, run_id: str, now: float) -> None:
        self.store.reschedule(run_id, "step", now)
        self.push(now, run_id, "step")

    def memoize(self, run_id: str, step_id: str, memo: str, now: float, op: str = "", name: str = "") -> None:
        """Keep a step's result; then find out what comes next, unless its parallel siblings are still at work."""
        if self.store.memoize(run_id, step_id, op, name, memo, now) and self.store.moves_on(run_id, step_id):
            self.discover(run_id, now)

    async def pump(self) -> None:
        while True:
            self.wake.clear()
            try:
                with self.store.db:
                    self.admit(time.time())
            except Exception:
                log.exception("a queue entry could not be read")
            self.dispatch()
            pause = self.heap[0][0] - time.time() if self.heap else 60.0
            with suppress(TimeoutError):
                await asyncio.wait_for(self.wake.wait(), min(max(pause, 0.0), 60.0))

    def admit(self, now: float) -> None:
        """Take what is due off the heap: end timers, fire crons, line up calls."""
        while self.heap and self.heap[0][0] <= now:
            _, run_id, step_id = heapq.heappop(self.heap)
            job = None if (run_id, step_id) in self.active else self.store.queued(run_id, step_id)
            if job is None or job["due"] > now:
                continue
            if job["op"] == "Cron":
                self.fire(run_id, step_id, now)
            elif job["op"] in ("Sleep", "WaitForEvent"):
                self.memoize(run_id, step_id, "null", now)
            elif job["op"] == "InvokeFunction":
                error = problem("InngestInvokeTimeout", "the invoked function did not end in time")
                self.memoize(run_id, step_id, json.dumps({"error": error}), now)
            else:
                self.line_up(job, now)

    def fire(self, run_id: str, cron: str, now: float) -> None:
        _, function = self.functions.get(run_id.removeprefix("cron:"), ("", {"triggers": []}))
        if {"cron": cron} not in function["triggers"]:
            self.store.write("delete from steps where run_id = ? and step_id = ?", run_id, cron)
            return
        due, id = next_firing(cron, now), ulid(now)
        self.store.reschedule(run_id, cron, due)
        self.push(due, run_id, cron)
        event = {"name": "inngest/scheduled.timer", "data": {"cron": cron}, "id": id, "ts": int(now * 1000), "user": {}}
        self.start(function, event, self.publish(event, id, now), now)

    def line_up(self, job: sqlite3.Row, now: float) -> None:
        run_id, key = job["run_id"], job["function_id"]
        if key not in self.functions:
            error = problem("FunctionNotFound", f'no app has a function "{key}" any more')
            return self.end(run_id, "Failed", now, error=error)
        owner, function = self.functions[key]
        limits = function.get("concurrency") or []
        event = json.loads(self.store.events(run_id)[0]) if limits else {}
        scopes = [key if limit.get("scope") in (None, "fn") else "env" for limit in limits]
        names = [f"{s} {x.get('key')} {key_of(x.get('key'), event)}" for s, x in zip(scopes, limits, strict=True)]
        slots = tuple((name, limit["limit"]) for name, limit in zip(names, limits, strict=True))
        self.store.write("update runs set status = 'Running' where id = ? and status <> 'Running'", run_id)
        self.active.add((run_id, job["step_id"]))
        self.ready.setdefault((owner, slots), deque()).append((run_id, job["step_id"]))
        return None

    def dispatch(self) -> None:
        """Begin calls in turn over the groups that wait, so that a long backlog does not hold up the others."""
        began = True
        while began:
            began = False
            for owner, slots in list(self.ready):
                held = owner not in self.back and time.time() < self.held_until
                if held or len(self.calls) == CALLS_AT_ONCE or any(self.used[name] >= n for name, n in slots):
                    continue
                waiting, began = self.ready.pop((owner, slots)), True
                self.used.update(name for name, _ in slots)
                call = asyncio.create_task(self.call(*waiting.popleft(), slots))
                self.calls.add(call)
                call.add_done_callback(self.calls.discard)
                if waiting:
                    self.ready[owner, slots] = waiting

    async def call(self, run_id: str, step_id: str, slots: Slots) -> None:
        pause = 0.0
        try:
            if job := self.store.queued(run_id, step_id):
                await self.ask(job, self.functions[job["function_id"]][1])
        except Exception:
            log.exception("run %s: the call of step %s could not be settled", run_id, step_id)
            pause = 5.0
        self.active.discard((run_id, step_id))
        self.used -= Counter(name for name, _ in slots)  # drops what falls to zero
        if left := self.store.queued(run_id, step_id):
            self.push(max(left["due"], time.time() + pause), run_id, step_id)
        self.wake.set()

    async def ask(self, job: sqlite3.Row, function: Json) -> None:
        """Call the app for one step and settle its answer; what no SDK answered counts as a failed attempt."""
        url = httpx.URL(function["steps"]["step"]["runtime"]["url"]).copy_set_param("stepId", job["step_id"])
        headers = {"content-type": "application/json", "x-inngest-server-kind": "dev", "x-run-id": job["run_id"]}
        no_retry, retry_at, status, body = False, None, 0, None
        try:
            response = await self.http.post(url, content=self.request_body(job, attempts_of(function)), headers=headers)
            status, body = response.status_code, json.loads(response.content)
            if "x-inngest-sdk" not in response.headers or (status == 206 and not body):
                raise ValueError(f"status {status} does not come from an Inngest SDK")
            no_retry = response.headers.get("x-inngest-no-retry") == "true"
            retry_at = retry_time(response.headers.get("retry-after", ""), time.time())
        except (httpx.HTTPError, ValueError) as error:
            status, body = 0, problem(type(error).__name__, f"{url.copy_with(query=None)}: {error}")
        now = time.time()
        with self.store.db:
            if status == 206:
                self.store.clear(job["run_id"], job["step_id"], job["due"])
                for op in body if isinstance(body, list) else [body]:
                    self.apply(job, function, op, no_retry, now)
            elif status // 100 == 2:
                self.end(job["run_id"], "Completed", now, output=body)
            else:
                known = isinstance(body, dict) and "message" in body
                self.fail(job, function, body if known else problem("Error", str(body)), no_retry, retry_at, now)

    def request_body(self, job: sqlite3.Row, attempts: int) -> bytes:
        events, memos = self.store.events(job["run_id"]), self.store.memos(job["run_id"])
        stack = [step_id for step_id, _ in memos]
        steps = ",".join(f"{json.dumps(step_id)}:{memo}" for step_id, memo in memos)
        large = sum(map(len, events)) + len(steps) > MAX_CALL
        ctx = {"fn_id": job["function_id"], "run_id": job["run_id"], "env": "", "step_id": "step", "use_api": large}
        ctx |= {"attempt": job["attempt"], "max_attempts": attempts, "stack": {"stack": stack, "current": len(stack)}}
        ctx |= {"disable_immediate_execution": self.store.pending(job["run_id"]) > 0, "qi_id": ""}
        events, steps = ([events[0]], "") if large else (events, steps)
        start = f'{{"event":{events[0]},"events":[{",".join(events)}],"steps":{{{steps}}},"version":2,'
        return (start + json.dumps({"ctx": ctx, "use_api": large})[1:]).encode()

    def apply(self, job: sqlite3.Row, function: Json, op: Json, no_retry: bool, now: float) -> None:
        """Take in one step of an answer: a result, an error, or something to plan."""
        run_id, kind, opts = job["run_id"], op["op"], op.get("opts") or {}
        name = opts.get("event") or op["name"] if kind == "WaitForEvent" else op.get("displayName") or op["id"]
        if kind == "StepError" and not no_retry and job["attempt"] + 1 < attempts_of(function):
            return self.fail(job, function, op["error"], False, None, now)
        if kind in ("StepRun", "StepError", "StepFailed"):
            memo = {"data": op.get("data")} if kind == "StepRun" else {"error": op["error"]}
            return self.memoize(run_id, op["id"], json.dumps(memo), now, kind, name)
        try:
            due = due_time(kind, op, opts, now)
        except Refused as error:
            return self.end(run_id, "Failed", now, error=problem("NotKnown", f"step {name}: {error}"))
        if self.store.plan(run_id, op["id"], kind, name, json.dumps(opts), due):
            self.push(due, run_id, op["id"])
            if kind == "InvokeFunction":
                self.invoke(run_id, op["id"], opts, now)
        return None

    def invoke(self, run_id: str, step_id: str, opts: Json, now: float) -> None:
        target, id = opts["function_id"], ulid(now)
        if target not in self.functions:
            error = problem("FunctionNotFound", f'no app has a function "{target}"')
            return self.memoize(run_id, step_id, json.dumps({"error": error}), now)
        link = {"fn_id": target, "correlation_id": f"{run_id}.{step_id}"}
        data = (opts["payload"].get("data") or {}) | {"_inngest": link}
        event = {"name": INVOKED, "data": data, "id": id, "ts": int(now * 1000), "user": {}}
        return self.start(self.functions[target][1], event, self.publish(event, id, now), now, run_id, step_id)

    def fail(self, job: sqlite3.Row, function: Json, error: Json, no_retry: bool, at: float | None, now: float) -> None:
        """Try again later, at the time the app asked for or with growing pauses; or end the run."""
        attempt = job["attempt"] + 1
        if no_retry or attempt >= attempts_of(function):
            return self.end(job["run_id"], "Failed", now, error=error)
        backoff = BACKOFF[min(attempt, len(BACKOFF)) - 1] + random.uniform(0, 30)  # noqa: S311 - jitter
        due = at or now + backoff * self.time_scale
        self.store.reschedule(job["run_id"], job["step_id"], due, attempt, json.dumps(error))
        return self.push(due, job["run_id"], job["step_id"])

    def end(self, run_id: str, status: str, now: float, output: Any = None, error: Json | None = None) -> None:
        run = self.store.end_run(run_id, status, json.dumps(error or output), now)
        result = {"error": error} if error else {"data": output}
        if run["parent_run"]:
            self.memoize(run["parent_run"], run["parent_step"], json.dumps(result), now)
        if not error:
            return
        log.warning("run %s of %s failed: %s: %s", run_id, run["function_id"], error.get("name"), error["message"])
        events = [json.loads(event) for event in self.store.events(run_id)]
        if events[0]["name"] != FAILED:
            data = {"function_id": run["function_id"], "run_id": run_id, "event": events[0], "events": events}
            data |= {"error": error, "_inngest": {"status": status}}
            event = {"name": FAILED, "data": data, "id": run_id, "ts": int(now * 1000), "user": {}}
            self.publish(event, ulid(now), now)


def attempts_of(function: Json) -> int:
    return int((function["steps"]["step"].get("retries") or {"attempts": 4})["attempts"]) + 1


def due_time(kind: str, op: Json, opts: Json, now: float) -> float:
    """When a planned step is to be looked at again; refuses a step that is not known."""
    if kind == "StepPlanned":
        return now
    if kind == "Sleep":
        text = opts.get("duration") or op["name"]
        return datetime.fromisoformat(text).timestamp() if "T" in text else now + duration(text)
    if kind == "WaitForEvent":
        holds(opts.get("if") or "null == null", {})
    elif kind != "InvokeFunction":
        raise Refused(f"{kind} is not known to this stand-in")
    return now + duration(opts.get("timeout") or "365d")


async def read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)


class Api:
    """The HTTP side: what SDKs, developers and programs ask of the server."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.store = engine, engine.store

    def routes(self) -> list[Route]:
        return [
            Route("/e/{key}", self.receive, methods=["POST"]),
            Route("/fn/register", self.register, methods=["POST"]),
            Route("/v0/runs/{id}/batch", self.batch),
            Route("/v0/runs/{id}/actions", self.actions),
            Route("/v1/events/{id}/runs", self.event_runs),
            Route("/v1/runs/{id}", self.run),
            Route("/dev", self.dev),
            Route("/health", self.health),
            Route("/", self.page),
        ]

    async def receive(self, request: Request) -> Response:
        now = time.time()
        events = read_events(await read_body(request), request.headers.get("x-inngest-event-id-seed", ""), now)
        with self.store.db:
            ids = [self.engine.publish(event, internal_id, now) for internal_id, event in events]
        return JSONResponse({"ids": ids, "status": 200})

    async def register(self, request: Request) -> Response:
        if request.headers.get("x-inngest-expected-server-kind", "dev") != "dev":
            raise Refused("this is a dev server; the app expects another kind")
        try:
            body = json.loads(await read_body(request))
            changed = self.engine.register(body["appname"], body["url"], body["functions"])
        except (Refused, KeyError, TypeError, json.JSONDecodeError) as error:
            log.error("registration refused: %s", error)
            raise Refused(f"registration refused: {error}") from error
        return JSONResponse({"ok": True, "modified": changed})

    async def batch(self, request: Request) -> Response:
        return Response(f"[{','.join(self.store.events(request.path_params['id']))}]", media_type="application/json")

    async def actions(self, request: Request) -> Response:
        return JSONResponse({step: json.loads(memo) for step, memo in self.store.memos(request.path_params["id"])})

    async def event_runs(self, request: Request) -> Response:
        runs = self.store.runs_of_event(request.path_params["id"])
        return JSONResponse({"data": [run_json(run) for run in runs]})

    async def run(self, request: Request) -> Response:
        run = self.store.first(RUN + "where r.id = ?", request.path_params["id"])
        if not run:
            return JSONResponse({"error": "no such run", "status": 404}, 404)
        return JSONResponse({"data": run_json(run)})

    async def dev(self, request: Request) -> Response:
        functions = [function for _, function in self.engine.functions.values()]
        handlers = list(self.engine.urls.values())
        return JSONResponse({"version": "penstock", "functions": functions, "handlers": handlers})

    async def health(self, request: Request) -> Response:
        return JSONResponse({"status": 200, "message": "OK"})

    async def page(self, request: Request) -> Response:
        def table(title: str, rows: Sequence[sqlite3.Row]) -> str:
            head = "".join(f"<th>{name}" for name in (rows[0].keys() if rows else ["nothing yet"]))
            lines = ("".join(f"<td>{html.escape(str('' if v is None else v)[:300])}" for v in row) for row in rows)
            return f"<h2>{title}</h2><table><tr>{head}{''.join(f'<tr>{line}' for line in lines)}</table>"

        functions = "".join(
            f"<li><b>{html.escape(key)}</b> {html.escape(json.dumps(function['triggers']))}"
            for key, (_, function) in sorted(self.engine.functions.items())
        )
        style = "body{font:14px sans-serif;margin:2em}td,th{text-align:left;padding:.2em .8em;vertical-align:top}"
        return HTMLResponse(
            f"<!doctype html><title>Inngest stand-in</title><meta http-equiv=refresh content=3><style>{style}</style>"
            f"<h1>Local Inngest stand-in</h1><h2>Functions</h2><ul>{functions}</ul>"
            + table("Last runs", self.store.last_runs())
            + table("Last events", self.store.last_events())
        )


def run_json(run: sqlite3.Row) -> Json:
    """Give a run the shape of Inngest's REST API; times in RFC 3339."""
    times = {name: run[name] and datetime.fromtimestamp(run[name], UTC).isoformat() for name in ("created", "ended")}
    known = {"run_id": run["id"], "function_id": run["function_id"], "event_id": run["event"], "status": run["status"]}
    output = json.loads(run["output"]) if run["output"] else None
    return known | {"run_started_at": times["created"], "ended_at": times["ended"], "output": output}


async def sync_apps(engine: Engine, urls: Sequence[str], interval: float) -> None:
    """Ask each app to register, until it does and every `interval` seconds after (0: never again)."""
    said: dict[str, str] = {}
    pause = 0.1
    while True:
        for url in {*urls, *engine.urls.values()}:
            try:
                headers = {"x-inngest-server-kind": "dev"}
                answer = await engine.http.put(url, json={"url": url}, headers=headers, timeout=10)
                reply = answer.json()
                news = "" if answer.is_success and "error" not in reply else f"{reply.get('error') or reply}"
            except (httpx.HTTPError, ValueError, AttributeError) as error:
                news = f"does not answer yet ({type(error).__name__})"
            if news != said.get(url):
                log.warning("app %s %s", url, news or "is registered")
            said[url] = news
        pause = min(pause * 1.5, interval or 1.0) if any(said.values()) or not said else interval
        if not interval and said and not any(said.values()):
            return
        await asyncio.sleep(pause)


async def purge(store: Store) -> None:
    while True:
        while store.purge(time.time()):
            await asyncio.sleep(0.01)
        await asyncio.sleep(600)


class InngestServer:
    """The server as an object: `run()` blocks; `start()` and `stop()` keep it in a thread. Port 0 picks a free one."""

    def __init__(self, host: str = "127.0.0.1", port: int = 8288, database: str = ".penstock/inngest.db",
                 apps: Sequence[str] = (), time_scale: float = 1.0, poll_interval: float = 5.0) -> None:  # fmt: skip
        if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
            raise Refused(f"host {host} is not loopback; this server checks no keys")
        try:
            self.socket = socket.create_server((host, port))
        except OSError as error:
            raise Refused(f"cannot listen on {host}:{port}: {error.strerror}") from error
        try:
            self.engine = Engine(Store(database), time_scale)
        except sqlite3.Error as error:
            self.socket.close()
            raise Refused(f"cannot use {database}: {error}") from error
        self.url = f"http://{host}:{self.socket.getsockname()[1]}"
        self.background = [sync_apps(self.engine, apps, poll_interval), self.engine.pump(), purge(self.engine.store)]
        app = Starlette(routes=Api(self.engine).routes(), lifespan=self.lifespan, exception_handlers={Refused: refused})
        self.uvicorn = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on"))

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in self.background]
        yield
        for task in (*tasks, *self.engine.calls):
            task.cancel()
        await asyncio.gather(*tasks, *self.engine.calls, return_exceptions=True)
        await self.engine.http.aclose()
        self.engine.store.db.close()

    def run(self) -> None:
        self.uvicorn.run(sockets=[self.socket])

    def start(self) -> "InngestServer":
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        while not self.uvicorn.started:
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join()


async def refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"ids": [], "status": 400, "error": str(error)}, 400)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="inngest_server", description="A local stand-in for the Inngest server.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8288)
    parser.add_argument("--database", default=".penstock/inngest.db")
    parser.add_argument("-u", "--app", dest="apps", action="append", default=[], help="serve URL")
    parser.add_argument("--time-scale", type=float, default=1.0, help="factor on the pauses between retries")
    parser.add_argument("--poll-interval", type=float, default=5.0, help="seconds between syncs; 0 syncs once")
    logging.basicConfig(format="inngest: %(message)s", level=logging.WARNING)
    try:
        server = InngestServer(**vars(parser.parse_args(arguments)))
    except ValueError as error:
        sys.exit(f"inngest: {error}")
    print(f"inngest: stand-in on {server.url}", flush=True)
    server.run()


if __name__ == "__main__":
    main()
