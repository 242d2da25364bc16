"""An app without a domain as uvicorn serves it, in local mode and without a database."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[3]
APP = "penstock.http.app:create_app"


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    def call(self, method: str, path: str) -> httpx.Response:
        """Its answer, as soon as it answers."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return httpx.request(
                    method, f"http://127.0.0.1:{self.port}{path}", trust_env=False, timeout=PATIENCE_SECONDS
                )
            except httpx.TransportError:
                assert self.process.poll() is None, self.said
                assert time.monotonic() < deadline, self.said
                time.sleep(0.05)


@contextmanager
def uvicorn(host: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "--factory", APP, "--host", host, "--port", str(port)]
    env = {name: value for name, value in os.environ.items() if name != "VERCEL"}
    env |= {"DATABASE_URL": "postgresql://127.0.0.1:1/none", "PENSTOCK_ENV": "local", "INNGEST_DEV": "1"}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=PROJECT, env=env, stdout=output, stderr=output)
        try:
            yield Server(process, port, log)
        finally:
            process.kill()
            process.wait()
