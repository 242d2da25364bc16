"""`POST …/events` by wrk with 32 connections to one worker, against an endpoint that only authenticates and answers."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.append_to_orders_latency import free_port
from benchmarks.harness import PAYLOAD, Bench, Figure, Unavailable, url_of
from benchmarks.http_app import KEY

ROOT = Path(__file__).parent.parent
CONNECTIONS = 32
_SCRIPT = """
local threads = 0
function setup(thread) threads = threads + 1; thread:set("number", threads) end
function init() sent = 0 end
function request()
  sent = sent + 1
  local path = "{path}"
  if path == "" then path = "/v1/streams/order/{run}-" .. number .. "-" .. sent .. "/events" end
  local headers = {{["Content-Type"] = "application/json", ["Authorization"] = "Bearer {key}"}}
  return wrk.format("POST", path, headers, [==[{body}]==])
end
"""
_BODY = json.dumps(
    {
        "expected_version": "no_stream",
        "events": [{"event_type": "OrderPlaced", "payload": json.loads(PAYLOAD)}],
    }
)


@contextmanager
def app(database_url: str) -> Iterator[str]:
    port = free_port()
    command = ["uvicorn", "--factory", "benchmarks.http_app:make", "--port", str(port), "--log-level", "warning"]
    started = subprocess.Popen(
        [sys.executable, "-m", *command, "--no-access-log"], cwd=ROOT, env={**os.environ, "DATABASE_URL": database_url}
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        started.terminate()
        started.wait(10)


def requests_a_second(bench: Bench, url: str, path: str = "") -> float:
    """By wrk; raises if any answer was an error."""
    script = _SCRIPT.format(path=path, run=uuid.uuid4().hex[:8], key=KEY, body=_BODY)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        options = ["-t2", f"-c{CONNECTIONS}", f"-d{max(1, round(bench.seconds))}s", "-s", file.name]
        done = subprocess.run(["wrk", *options, url], capture_output=True, text=True, check=False)
    match = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    if done.returncode or not match or "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(f"wrk failed: {done.stdout}\n{done.stderr}")
    return float(match[1])


def wait_for(url: str) -> None:
    """wrk gives up at a closed port, so ask until it is open."""
    import httpx

    transport = httpx.HTTPTransport(retries=60)
    with httpx.Client(transport=transport, timeout=60) as http:
        http.get(f"{url}/health").raise_for_status()


def run(bench: Bench) -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        raise Unavailable("wrk is not installed: apt-get install wrk")
    with app(url_of(bench.url)) as url:
        wait_for(url)
        found = bench.take_turns(
            {
                "only authenticate": lambda: requests_a_second(bench, url, "/only-authenticate"),
                "append": lambda: requests_a_second(bench, url),
            }
        )
    with bench.connect() as connection:
        row = connection.execute("select count(*) from public.event_store").fetchone()
    details = {"stored": row and row[0]}
    yield Figure(
        "http_append", "requests/s", found["append"], found["only authenticate"], at_least=0.50, details=details
    )
