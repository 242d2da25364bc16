"""A file of 5 GB through the function `import_file`: the memory of the app's process while the file goes in.

The file comes as an upload. A process that holds the whole app then makes the function's steps, one after the other,
as Inngest would ask for them, while its resident memory is looked at from outside. Prints a line for each part of the
file (megabytes read, resident megabytes, steps), then the highest. BENCH_SCALE=1 is 5 GB: 30 GB of disk are needed.
"""

import json
import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, BinaryIO, cast
from uuid import UUID, uuid4

from benchmarks.harness import Bench, Figure, url_of
from benchmarks.import_data import TARGET, Imports, imports, tails
from penstock.ingest.files import import_status, open_upload, receive_upload, register

BYTES = 5_000_000_000
AT_MOST_MB = 150
AT_MOST_STEPS = 1_000
PARTS = 20
SECONDS_BETWEEN_LOOKS = 0.05
ROWS_A_BLOCK = 20_000


def run(bench: Bench) -> Iterator[Figure]:
    with imports(bench) as contest:
        import_id = upload(contest, cast(BinaryIO, Rows(bench.scaled(BYTES))))
        yield measured(contest, import_id, "import_5gb")


def measured(contest: Imports, import_id: UUID, name: str) -> Figure:
    """Let the function work on the upload; prints the curve, gives the highest."""
    began, looks = time.perf_counter(), 0
    curve: list[dict[str, float]] = []
    highest = 0.0
    with _worker(contest, import_id) as (process, news):
        while process.is_alive():
            resident = _resident_mb(process.pid or 0)
            highest, looks = max(highest, resident), looks + 1
            if looks % 20 == 1:
                _note(curve, contest, import_id, resident, name)
            time.sleep(SECONDS_BETWEEN_LOOKS)
        if process.exitcode:
            raise RuntimeError(f"the worker ended with {process.exitcode}")
        alone, steps, peak = news.recv()
    done = import_status(contest.settings, import_id)
    if done.state != done.loaded_state or done.rows_read != done.loaded + done.skipped + done.rejected + done.held:
        raise RuntimeError(f"the import ended as {done.state}: {done.error}")
    seconds = time.perf_counter() - began
    details = {
        "file_mb": round(done.size_bytes / 1e6),
        "rows": done.loaded,
        "seconds": round(seconds),
        "rows_a_second": round(done.loaded / seconds),
        "steps": steps,
        "steps_at_most": AT_MOST_STEPS,
        "at_most_mb": AT_MOST_MB,
        "app_alone_mb": alone,
        "looks": looks,
    }
    if steps >= AT_MOST_STEPS:
        raise RuntimeError(f"{steps} steps")
    return Figure(name, "MB resident at most", max(highest, peak), details=details)


def _note(curve: list[dict[str, float]], contest: Imports, import_id: UUID, resident: float, name: str) -> None:
    """A line of the curve whenever another part of the file has been read."""
    now = import_status(contest.settings, import_id)
    part = now.source_bytes * PARTS // max(now.size_bytes, 1)
    if part >= len(curve):
        line = {"mb_read": round(now.source_bytes / 1e6), "resident_mb": resident, "rows": now.rows_read}
        curve += [line] * (part + 1 - len(curve))
        print(json.dumps({"name": f"{name}_curve", **line}), flush=True)


class Rows:
    """A CSV file of about so many bytes that is made while it is read."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._made = 0
        self._rows = 0
        self._tails = tails(random.Random(7), ROWS_A_BLOCK)
        self._rest = (",".join(item.name for item in TARGET.fields) + "\n").encode()

    def read(self, size: int) -> bytes:
        parts, length = [self._rest], len(self._rest)
        while length < size and self._made < self._size:
            block = "".join([f"ord-{self._rows + n:010d},{tail}\n" for n, tail in enumerate(self._tails)]).encode()
            self._rows += len(self._tails)
            self._made += len(block)
            parts.append(block)
            length += len(block)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]


def upload(contest: Imports, file: BinaryIO, name: str = "large.csv") -> UUID:
    opened, _ = open_upload(contest.settings, TARGET.name, name=name)
    receive_upload(contest.settings, opened.id, file)
    return opened.id


@contextmanager
def _worker(contest: Imports, import_id: UUID) -> Iterator[tuple[Any, Connection]]:
    context = multiprocessing.get_context("spawn")
    news, report = context.Pipe(duplex=False)
    environment = {
        "DATABASE_URL": url_of(contest.settings.database_url),
        "PENSTOCK_ENV": "local",
        "PENSTOCK_STORAGE_FOLDER": str(contest.settings.storage_folder),
        "INNGEST_DEV": "http://127.0.0.1:9",  # nothing is sent: rows of a table make no events
    }
    process = context.Process(target=work, args=(environment, import_id, report))
    process.start()
    try:
        yield process, news
    finally:
        process.kill()
        process.join()


def work(environment: dict[str, str], import_id: UUID, report: Connection) -> None:
    """What Inngest asks of the app, step by step."""
    os.environ.update(environment)
    import penstock.http.app  # noqa: F401  the function never runs in a smaller process
    from penstock.inngest.functions import import_file

    register(TARGET)
    alone, steps, run_id = _resident_mb(os.getpid()), 0, uuid4()
    while not import_file._advance(import_id, run_id)["is_final"]:
        steps += 1
    report.send((alone, steps + 1, _resident_mb(os.getpid(), "VmHWM")))


def _resident_mb(process: int, what: str = "VmRSS") -> float:
    try:
        with open(f"/proc/{process}/status") as status:  # noqa: PTH123
            return next((round(int(line.split()[1]) / 1024, 1) for line in status if line.startswith(what)), 0.0)
    except OSError:
        return 0.0
