"""The local Inngest stand-in at work: which function runs when, which step is done, what is tried again.

The queue is on disk (`inngest_store`), timers and calls are in the event loop. Every change of state is one
transaction, so that after a crash each piece of work is either finished or done again: at least once, as on the
real server.
"""

import asyncio
import json
import logging
import random
import re
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

import httpx

from penstock.local.inngest_messages import (
    Json,
    Refused,
    attempts_of,
    check_function,
    cron_event,
    due_time,
    holds,
    make_event,
    next_firing,
    places_of,
    problem,
    retry_time,
    seconds,
    unreachable,
    value_of,
)
from penstock.local.inngest_store import Store, ulid
from penstock.local.inngest_timing import MEASURED, Timing
from penstock.relay.event_names import FUNCTION_FAILED

log = logging.getLogger("penstock.local.inngest")

CALLS_AT_ONCE = 64
MAX_CALL = 4 * 1024**2  # larger calls make the SDK fetch events and steps itself
GRACE = 5.0  # seconds that calls wait for an app which has not come back since this server started
BACKOFF = (15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200)


class Engine:
    """Timers and calls over the queue on disk; every change of state is one transaction."""

    def __init__(self, store: Store, time_scale: float, timing: Timing = MEASURED) -> None:
        self.store, self.time_scale, self.timing = store, time_scale, timing
        self.functions: dict[str, tuple[str, Json]] = {}
        self.urls: dict[str, str] = {}
        self.back: set[str] = set()
        self.active: set[tuple[str, str]] = set()
        self.places: WeakValueDictionary[tuple[str, int], asyncio.Semaphore] = WeakValueDictionary()
        self.tasks: set[asyncio.Task[None]] = set()
        self.clients: list[httpx.AsyncClient] = []

    def open(self) -> None:
        """Take up, in the running event loop, what the file holds."""
        self.loop, self.held_until = asyncio.get_running_loop(), time.time() + GRACE
        self.tls = httpx.create_ssl_context()
        self.free = asyncio.Semaphore(CALLS_AT_ONCE)
        for app in self.store.rows("select * from apps"):
            self.install(app["app_id"], app["url"], json.loads(app["functions"]))
        for job in self.store.rows("select due, run_id, step_id from steps where memo is null and due is not null"):
            self.push(*job)

    async def close(self, others: list[asyncio.Task[None]]) -> None:
        """Drop all work in hand; it is on disk and begins again next time."""
        tasks = [*others, *self.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for client in self.clients:
            await client.aclose()
        self.store.db.close()

    def register(self, app_id: str, url: str, functions: list[Json]) -> bool:
        """Replace an app's functions, all of them or none; True if something changed."""
        for function in functions:
            check_function(function)
        text, sql = json.dumps(functions), "select 1 from apps where (app_id, url, functions) = (?, ?, ?)"
        if changed := not self.store.rows(sql, app_id, url, text):
            with self.store.db:
                self.store.write("insert or replace into apps values (?, ?, ?)", app_id, url, text)
                self.install(app_id, url, functions)
        self.back.add(app_id)
        return changed

    def install(self, app_id: str, url: str, functions: list[Json]) -> None:
        now = time.time()
        crons = [(t["cron"], next_firing(t["cron"], now), f) for f in functions for t in f["triggers"] if "cron" in t]
        self.urls[app_id] = url
        others = {key: value for key, value in self.functions.items() if value[0] != app_id}
        self.functions = others | {function["id"]: (app_id, function) for function in functions}
        for cron, due, function in crons:
            if self.store.plan(f"cron:{function['id']}", cron, "Cron", cron, "{}", due):
                self.push(due, f"cron:{function['id']}", cron)

    def publish(self, event: Json, internal_id: str, now: float) -> None:
        """Store an event, start what it triggers and resume what waits for it."""
        name, body = event["name"], json.dumps(event)
        self.store.add_event(internal_id, event["id"], name, body, now)
        names = {name, *(name[: place.end()] + "*" for place in re.finditer("[/.]", name))}
        for _, function in list(self.functions.values()):
            if any(t.get("event") in names and holds(t.get("expression"), event) for t in function["triggers"]):
                self.start(function, event, internal_id, now)
        for step in self.store.rows(
            "select * from steps where op = 'WaitForEvent' and memo is null and name = ?", name
        ):
            if holds(json.loads(step["opts"]).get("if"), json.loads(self.store.events(step["run_id"])[0]), event):
                self.memoize(step["run_id"], step["step_id"], body, now)

    def start(self, function: Json, event: Json, internal_id: str, now: float, *parent: str) -> None:
        """Make a run, or join one that still gathers its batch; once per function and event id in 24 hours."""
        keys = [event["id"], *(value_of(key, {"event": event}) for key in [function.get("idempotency")] if key)]
        for index, key in enumerate(keys):
            if not self.store.write("insert or ignore into seen values (?, ?)", f"{function['id']} {index} {key}", now):
                return
        batch: Json = (not parent and function.get("batchEvents")) or {"maxSize": 1}
        begin, is_batch = now + self.timing.start_pause(), batch["maxSize"] > 1
        due = now + seconds(batch.get("timeout", "60s")) + self.timing.batch_pause() if is_batch else begin
        key = value_of(batch["key"], {"event": event}) if batch.get("key") else ""
        run_id, size = self.store.join_run(function["id"], key, internal_id, now, due, *parent, batch=is_batch)
        if size == batch["maxSize"] > 1:
            self.store.write("update runs set status = 'Running' where id = ?", run_id)
            self.discover(run_id, begin)
        elif size == 1:
            self.push(due, run_id, "step")

    def push(self, due: float, run_id: str, step_id: str) -> None:
        """Look at a queue entry when it is due; in between once a minute, lest a suspended machine lose time."""
        self.loop.call_later(min(max(due - time.time(), 0), 60), self.begin, run_id, step_id)

    def begin(self, run_id: str, step_id: str) -> None:
        task = self.loop.create_task(self.work(run_id, step_id))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def discover(self, run_id: str, now: float) -> None:
        self.store.reschedule(run_id, "step", now)
        self.push(now, run_id, "step")

    def memoize(self, run_id: str, step_id: str, memo: str, now: float, op: str = "", name: str = "") -> None:
        if self.store.memoize(run_id, step_id, op, name, memo, now):
            self.discover(run_id, now)

    async def work(self, run_id: str, step_id: str) -> None:
        """Do what is due: fire a cron, end a timer, or call the app when the concurrency limits allow it."""
        job, now = self.store.queued(run_id, step_id), time.time()
        if job is None or (run_id, step_id) in self.active:
            return None
        if job["due"] > now:
            return self.push(job["due"], run_id, step_id)
        self.active.add((run_id, step_id))
        try:
            if job["op"] in ("Discover", "StepPlanned"):
                await self.take_place(job)
            else:
                with self.store.db:
                    self.elapse(job, now)
        except Exception:
            log.exception("run %s, step %s: not finished, trying again", run_id, step_id)
            await asyncio.sleep(5)
        finally:
            self.active.discard((run_id, step_id))
        if left := self.store.queued(run_id, step_id):
            self.push(left["due"], run_id, step_id)
        return None

    def elapse(self, job: sqlite3.Row, now: float) -> None:
        run_id, step_id = job["run_id"], job["step_id"]
        if job["op"] != "Cron":
            error = problem("InngestInvokeTimeout", "the invoked function did not end in time")
            memo = json.dumps({"error": error}) if job["op"] == "InvokeFunction" else "null"
            return self.memoize(run_id, step_id, memo, now)
        _, function = self.functions.get(run_id.removeprefix("cron:"), ("", {"triggers": []}))
        if step_id not in [trigger.get("cron") for trigger in function["triggers"]]:
            self.store.write("delete from steps where run_id = ? and step_id = ?", run_id, step_id)
            return None
        self.store.reschedule(run_id, step_id, next_firing(step_id, now))
        event, internal_id = cron_event(step_id, job["due"], now), ulid(now)
        self.publish(event, internal_id, now)
        return self.start(function, event, internal_id, now)

    async def take_place(self, job: sqlite3.Row) -> None:
        """Wait for the app's return and for a place under each concurrency limit, then call."""
        run_id, now = job["run_id"], time.time()
        owner, function = self.functions.get(job["function_id"], ("", {}))
        with self.store.db:
            if job["status"] == "Batching":
                self.store.write("update runs set status = 'Running' where id = ?", run_id)
            if not function:
                error = problem("FunctionNotFound", f'no app has a function "{job["function_id"]}" any more')
                return self.end(run_id, "Failed", now, error=error)
        while owner not in self.back and time.time() < self.held_until:
            await asyncio.sleep(0.02)
        event = json.loads(self.store.events(run_id)[0]) if function.get("concurrency") else {}
        async with AsyncExitStack() as places:
            for place in sorted(places_of(function, event)):
                await places.enter_async_context(self.places.setdefault(place, asyncio.Semaphore(place[1])))
            await places.enter_async_context(self.free)
            if current := self.store.queued(run_id, job["step_id"]):
                await self.call(current, function)
        return None

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        """Lend a client to one call at a time: httpx's own pool gets slow with dozens of connections."""
        limits, timeout = httpx.Limits(keepalive_expiry=2), httpx.Timeout(7200, connect=10)
        idle = self.clients.pop() if self.clients else None
        client = idle or httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=self.tls)
        try:
            yield client
        finally:
            self.clients.append(client)

    async def call(self, job: sqlite3.Row, function: Json) -> None:
        """Call the app and process its answer; what no SDK answered counts as a failed attempt."""
        url = httpx.URL(function["steps"]["step"]["runtime"]["url"]).copy_set_param("stepId", job["step_id"])
        headers = {"content-type": "application/json", "x-inngest-server-kind": "dev", "x-run-id": job["run_id"]}
        try:
            content = self.request_body(job, attempts_of(function))
            async with self.client() as http:
                answer = await http.post(url, content=content, headers=headers)
            status, body, headers = answer.status_code, json.loads(answer.content), dict(answer.headers)
            if "x-inngest-sdk" not in headers or (status == 206 and not (body and isinstance(body, list))):
                raise ValueError(f"status {status} is not an answer of an Inngest SDK")
        except httpx.HTTPError as error:
            log.warning("%s cannot be reached: %s %s", url.copy_with(query=None), type(error).__name__, error)
            status, body = 0, unreachable()
        except ValueError as error:
            status, body = 0, problem(type(error).__name__, f"{url.copy_with(query=None)}: {error}")
        now = time.time()
        try:
            with self.store.db:
                self.process_answer(job, function, status, body, headers, now)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            with self.store.db:
                self.end(
                    job["run_id"], "Failed", now, error=problem("BadAnswer", f"a step that cannot be read: {error!r}")
                )

    def request_body(self, job: sqlite3.Row, attempts: int) -> bytes:
        events, memos = self.store.events(job["run_id"]), self.store.memos(job["run_id"])
        steps = ",".join(f"{json.dumps(step_id)}:{memo}" for step_id, memo in memos.items())
        if large := sum(map(len, events)) + len(steps) > MAX_CALL:
            events, steps = events[:1], ""
        ctx = {"fn_id": job["function_id"], "run_id": job["run_id"], "step_id": "step", "env": "", "use_api": large}
        ctx |= {"attempt": job["attempt"], "max_attempts": attempts}
        ctx |= {"stack": {"stack": list(memos), "current": len(memos)}}
        ctx |= {"disable_immediate_execution": self.store.pending(job["run_id"]) > 0}
        data = f'"event":{events[0]},"events":[{",".join(events)}],"steps":{{{steps}}}'
        return f'{{{data},"version":2,"use_api":{json.dumps(large)},"ctx":{json.dumps(ctx)}}}'.encode()

    def process_answer(
        self, job: sqlite3.Row, function: Json, status: int, body: Any, headers: Json, now: float
    ) -> None:
        no_retry = headers.get("x-inngest-no-retry") == "true"
        if status == 206:
            self.store.clear(job)
            for op in body:
                self.apply(job, function, op, no_retry, now)
        elif status // 100 == 2:
            self.end(job["run_id"], "Completed", now, output=body)
        else:
            error = body if isinstance(body, dict) and "message" in body else problem("Error", str(body))
            self.fail(job, function, error, no_retry, retry_time(headers.get("retry-after", ""), now), now)

    def apply(self, job: sqlite3.Row, function: Json, op: Json, no_retry: bool, now: float) -> None:
        """Take in one step of an answer: a result, an error, or something to plan."""
        run_id, kind, opts = job["run_id"], op["op"], op.get("opts") or {}
        name = op["name"] if kind == "WaitForEvent" else op.get("displayName") or op["id"]
        if kind == "StepError" and not no_retry and job["attempt"] + 1 < attempts_of(function):
            return self.fail(job, function, op["error"], False, None, now)
        if kind in ("StepRun", "StepError", "StepFailed"):
            memo = {"data": op.get("data")} if kind == "StepRun" else {"error": op["error"]}
            return self.memoize(run_id, op["id"], json.dumps(memo), now, kind, name)
        try:
            due = due_time(kind, op, opts, now, len(self.store.memos(run_id)))
            due -= self.timing.sleep_ahead() if kind == "Sleep" else 0
        except Refused as error:
            return self.end(run_id, "Failed", now, error=problem("NotKnown", f"step {name}: {error}"))
        if self.store.plan(run_id, op["id"], kind, name, json.dumps(opts), due):
            self.push(due, run_id, op["id"])
            if kind == "InvokeFunction":
                self.invoke(run_id, op["id"], opts, now)
        return None

    def invoke(self, run_id: str, step_id: str, opts: Json, now: float) -> None:
        _, function = self.functions.get(opts["function_id"], ("", {}))
        if not function:
            error = problem("FunctionNotFound", f'no app has a function "{opts["function_id"]}"')
            return self.memoize(run_id, step_id, json.dumps({"error": error}), now)
        link = {"_inngest": {"fn_id": opts["function_id"], "correlation_id": f"{run_id}.{step_id}"}}
        data = (opts["payload"].get("data") or {}) | link
        event = make_event("inngest/function.invoked", data, internal_id := ulid(now), now)
        self.publish(event, internal_id, now)
        return self.start(function, event, internal_id, now, run_id, step_id)

    def fail(self, job: sqlite3.Row, function: Json, error: Json, no_retry: bool, at: float | None, now: float) -> None:
        """Try again at the time the app asked for, or after a pause that grows; or end the run."""
        attempt = job["attempt"] + 1
        if no_retry or attempt >= attempts_of(function):
            return self.end(job["run_id"], "Failed", now, error=error)
        backoff = BACKOFF[min(attempt, len(BACKOFF)) - 1] + random.uniform(0, 30)  # noqa: S311 - jitter
        due, reason = at or now + backoff * self.time_scale, f"{error.get('name')}: {error['message']}"
        return self.store.reschedule(job["run_id"], job["step_id"], due, attempt, reason)

    def end(self, run_id: str, status: str, now: float, output: Any = None, error: Json | None = None) -> None:
        run = self.store.end_run(run_id, status, json.dumps(error or output), now)
        if run["parent_run"]:
            result = {"error": error} if error else {"data": output}
            self.memoize(run["parent_run"], run["parent_step"], json.dumps(result), now)
        if error:
            log.warning("%s failed in run %s: %s", run["function_id"], run_id, error["message"])
            events = [json.loads(event) for event in self.store.events(run_id)]
            data = {"function_id": run["function_id"], "run_id": run_id, "event": events[0], "events": events}
            data |= {"error": error, "_inngest": {"status": status}}
            if events[0]["name"] != FUNCTION_FAILED:
                self.publish(make_event(FUNCTION_FAILED, data, run_id, now), ulid(now), now)
