"""A mixed load over HTTP that survives outages, and keeps books of what it was answered.

Whoever gets no answer, or one that says the service is away, sends the same again, and now and then gives up. So of
each request one of three things is known: it was acknowledged, it was refused, or nobody can tell.
"""

import base64
import hashlib
import hmac
import json
import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import httpx

WEBHOOK_KEY = b"a key of the shop"
REQUEST_SECONDS = 5.0
GIVES_UP = 0.1
STREAMS = [f"s{number}" for number in range(12)]
PRODUCT = "lamp"
FILE_ORDERS, LINES_AN_ORDER = 40, 3
CSV_HEAD = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country"

Outcome = Literal["acknowledged", "refused", "unknown"]


@dataclass(frozen=True)
class Sent:
    """One request: an append's event ids, a command's key, a delivery's or a file's id; and what became of it."""

    kind: str
    reference: tuple[str, ...]
    outcome: Outcome
    path: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)
    answer: Mapping[str, Any] = field(default_factory=dict)


class Books:
    """What was sent; `faults` are answers that no outage explains."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.appended: list[Sent] = []
        self.versions: dict[str, int] = {}
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []

    def note(self, sent: Sent) -> None:
        self.sent.append(sent)
        if sent.kind == "append" and sent.outcome == "acknowledged":
            self.appended.append(sent)
            self.versions[sent.path] = sent.answer["version"]
        elif sent.kind == "append" and sent.outcome == "refused":
            self.versions[sent.path] = sent.answer.get("actual", 0)

    def references(self, kind: str, outcome: Outcome) -> set[str]:
        return {one for each in self.sent if (each.kind, each.outcome) == (kind, outcome) for one in each.reference}

    def acknowledged(self) -> int:
        return sum(each.outcome == "acknowledged" for each in list(self.sent))


class Client:
    """One sender: a thread's own connection and its own luck."""

    def __init__(self, url: str, books: Books, luck: random.Random, *, patient: bool = False) -> None:
        self.http = httpx.Client(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        self.books = books
        self.luck = luck
        self.gives_up = 0.0 if patient else GIVES_UP

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self.http.close()

    def id(self) -> str:
        return str(UUID(int=self.luck.getrandbits(128), version=4))

    def send(self, make: Callable[[], httpx.Request], *refusals: str) -> tuple[Outcome, dict[str, Any]]:
        """Send until there is an answer that counts; `refusals` are the problems that may be one."""
        while True:
            try:
                answer = self.http.send(make())
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code != 503:
                return self._judged(answer, refusals)
            if self.luck.random() < self.gives_up:
                return "unknown", {}
            time.sleep(self.luck.uniform(0.02, 0.3))

    def post(
        self, kind: str, reference: tuple[str, ...], path: str, body: Mapping[str, Any], *refusals: str, key: str = ""
    ) -> Sent:
        headers = {"idempotency-key": key} if key else {}
        outcome, answer = self.send(
            lambda: self.http.build_request("POST", path, json=body, headers=headers), *refusals
        )
        sent = Sent(kind, reference, outcome, path, body, answer)
        self.books.note(sent)
        return sent

    def _judged(self, answer: httpx.Response, refusals: tuple[str, ...]) -> tuple[Outcome, dict[str, Any]]:
        if answer.is_success:
            return "acknowledged", answer.json()
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        if str(problem.get("type", "")).rpartition(":")[2] not in refusals:
            self.books.faults.append(
                f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"
            )
        return "refused", problem


def append(client: Client) -> None:
    """One to three events to one of few streams, half of the time under a version that may be stale."""
    luck = client.luck
    stream = luck.choice(STREAMS)
    ids = tuple(client.id() for _ in range(luck.randint(1, 3)))
    events = [{"id": id, "event_type": "NoteTaken", "payload": {"text": f"note {id}"}} for id in ids]
    path = f"/v1/streams/note/{stream}/events"
    expected = luck.choice([client.books.versions.get(path, 0), "any"])
    body = {"expected_version": expected, "events": events}
    client.post("append", ids, path, body, "version-conflict")


def repeat(client: Client) -> None:
    """What was acknowledged once is answered the same for ever after."""
    if not client.books.appended:
        return
    first = client.luck.choice(client.books.appended)
    outcome, answer = client.send(lambda: client.http.build_request("POST", first.path, json=first.body))
    if outcome == "acknowledged" and answer != {**first.answer, "duplicate": True}:
        client.books.faults.append(f"{first.answer} was repeated as {answer}")


def order(client: Client) -> None:
    """An order goes some of its way; all of them want the same product."""
    order_id = client.id()
    items = [{"product_id": PRODUCT, "quantity": 1, "unit_price": "2.550"}]
    placing = {"order_id": order_id, "currency": "GBP", "items": items}
    steps = [("/v1/orders", placing), *((f"/v1/orders/{order_id}/{step}", {}) for step in ("pay", "ship", "complete"))]
    for path, body in steps[: client.luck.randint(1, 4)]:
        key = client.id()
        if client.post("command", (key,), path, body, "insufficient-stock", key=key).outcome != "acknowledged":
            return


def restock(client: Client, delta: int = 3) -> None:
    key = client.id()
    path = f"/v1/inventory/{PRODUCT}/adjust"
    client.post("command", (key,), path, {"delta": delta, "reason": "delivery"}, key=key)


def deliver(client: Client) -> None:
    """A signed delivery, about a thing of its own, sent again until it is answered."""
    delivery = client.id()
    body = json.dumps({"type": "thing.made", "data": {"id": delivery}}).encode()

    def signed() -> httpx.Request:
        now = str(int(time.time()))
        signature = hmac.new(WEBHOOK_KEY, f"{delivery}.{now}.".encode() + body, hashlib.sha256).digest()
        names = {"id": delivery, "timestamp": now, "signature": f"v1,{base64.b64encode(signature).decode()}"}
        headers = {f"webhook-{name}": value for name, value in names.items()}
        return client.http.build_request("POST", "/v1/webhooks/shop", content=body, headers=headers)

    client.books.note(Sent("delivery", (delivery,), client.send(signed)[0]))


def import_file(client: Client) -> None:
    """A file of orders, of three lines each; the third is no good."""
    name = client.id()[:8]
    lines = [CSV_HEAD]
    for number in range(FILE_ORDERS):
        for product, quantity in (("P1", "6"), ("P2", "2"), ("P3", "0")):
            lines.append(f"{name}-{number},{product},HOLDER,{quantity},2010-12-01 08:26:00,2.55,17850,France")
    client.books.files[name] = "\n".join(lines).encode()
    send_file(client, name)


def send_file(client: Client, name: str) -> dict[str, Any]:
    content, headers = client.books.files[name], {"content-type": "text/csv"}
    outcome, answer = client.send(
        lambda: client.http.build_request("POST", "/v1/imports/orders", content=content, headers=headers)
    )
    client.books.note(Sent("import", (name,), outcome, answer=answer))
    return answer


# What each sender does, and the pause after it.
WORKS: list[tuple[Callable[[Client], None], float]] = [
    *[(append, 0.02)] * 3,
    *[(order, 0.05)] * 2,
    (repeat, 0.1),
    (restock, 0.2),
    (deliver, 0.5),
    (import_file, 8.0),
]


class Load:
    """The senders at work, each doing one thing over and over, until `stop`."""

    def __init__(self, url: str, seed: int) -> None:
        self.url, self.seed = url, seed
        self.books = Books()
        self._stopped = threading.Event()
        self._pool = ThreadPoolExecutor(len(WORKS))
        self._senders: list[Future[None]] = []

    def start(self) -> None:
        for number, work in enumerate(WORKS):
            self._senders.append(self._pool.submit(self._over_and_over, number, *work))

    def stop(self) -> None:
        """Let each sender end what it is at; raises what went wrong in one of them."""
        self._stopped.set()
        self._pool.shutdown()
        for sender in self._senders:
            sender.result()

    def check(self) -> None:
        for sender in self._senders:
            if sender.done():
                sender.result()

    def patient_client(self) -> Client:
        return Client(self.url, self.books, random.Random(f"{self.seed} last"), patient=True)

    def _over_and_over(self, number: int, work: Callable[[Client], None], pause: float) -> None:
        with Client(self.url, self.books, random.Random(f"{self.seed} {number}")) as client:
            while not self._stopped.is_set():
                work(client)
                self._stopped.wait(client.luck.uniform(0, 2 * pause))
