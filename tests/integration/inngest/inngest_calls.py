"""Plays Inngest's part of the call protocol against `/api/inngest`, as far as a test wants to see each call."""

import asyncio
import hashlib
import time
import warnings
from dataclasses import dataclass, field
from typing import Any

import fastapi
import httpx

from penstock.inngest import client as deployment

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the SDK's own pydantic models
    import inngest.fast_api

RUN_ID = "01KAHV5T7M0000000000000000"


def serving_app() -> fastapi.FastAPI:
    app = fastapi.FastAPI()
    inngest.fast_api.serve(app, deployment.client, deployment.registered)
    return app


@dataclass
class Outcome:
    """How a run ended: its result, or the last call's error with its headers; and the memoised steps by name."""

    status: int
    body: Any
    headers: httpx.Headers
    steps: dict[str, Any] = field(default_factory=dict)


def call(fn_id: str, event: dict[str, Any], steps: dict[str, Any] | None = None, **ctx: Any) -> httpx.Response:
    """One call as Inngest makes it; `steps` are memos by hashed id."""
    event = {"id": "e1", "data": {}, "ts": int(time.time() * 1000), **event}
    body = {
        "ctx": {
            "attempt": 0,
            "disable_immediate_execution": False,
            "run_id": RUN_ID,
            "stack": {"stack": []},
            "fn_id": fn_id,
            **ctx,
        },
        "event": event,
        "events": [event],
        "steps": steps or {},
        "use_api": False,
        "version": 2,
    }
    return asyncio.run(_post(f"/api/inngest?fnId=penstock-{fn_id}&stepId=step", body))


def run(fn_id: str, event: dict[str, Any], **ctx: Any) -> Outcome:
    """Call until the run has a result or an error, memoising each step."""
    memos: dict[str, Any] = {}
    steps: dict[str, Any] = {}
    while True:
        response = call(fn_id, event, memos, **ctx)
        body = response.json()
        if response.status_code != 206:
            return Outcome(response.status_code, body, response.headers, steps)
        for op in body:
            if "error" in op:
                return Outcome(206, op, response.headers, steps)
            assert op["id"] == hashlib.sha1(op["displayName"].encode()).hexdigest(), op
            memos[op["id"]] = {"data": op["data"]}
            steps[op["displayName"]] = op["data"]


async def _post(url: str, body: dict[str, Any]) -> httpx.Response:
    transport = httpx.ASGITransport(app=serving_app())
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
        return await http.post(url, json=body, timeout=60)
