"""What the local Inngest stand-in knows of Inngest's messages: registrations, events, steps, retry times.

Everything is checked on the way in, and what is not known is refused with its place and value: a feature that was
silently ignored would behave otherwise on the real server.
"""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter  # type: ignore[import-untyped]

from penstock.local.inngest_store import ulid
from penstock.relay.event_names import FUNCTION_FAILED

Json = dict[str, Any]
MAX_EVENT, MAX_EVENTS, MAX_STEPS = 256 * 1024, 5_000, 1_000
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
PATH = r"(?<![\w.])(?:event|async)(?:\.\w++)++"
VALUE = rf"{PATH}|'[^'\"\\]*'|-?\d+|true|false|null"
PAIR = rf"({PATH})\s*+==\s*+({VALUE})"
TERM = rf"\s*+{PAIR}\s*+"
# What is known of a message: a pattern for the JSON text of each field. Anything else is refused.
EXPRESSION = f'"{TERM}(&&{TERM})*"'
TEXT, KEY, DURATION, OBJECT = '".{1,512}"', f'"({VALUE})"', r'"(\d+(ms|[smhdw]))+"', r"\{.*\}"
STEP = {"id": TEXT, "name": TEXT, "retries": {"attempts": r"1?\d|20"}, "runtime": {"type": '"http"', "url": TEXT}}
FUNCTION: Json = {
    "id": TEXT,
    "name": TEXT,
    "triggers": [{"event": rf'"({FUNCTION_FAILED}|(?!inngest/).+)"', "expression": EXPRESSION, "cron": TEXT}],
    "steps": {"step": STEP},
    "concurrency": [{"key": KEY, "limit": r"[1-9]\d*", "scope": '"(fn|env|account)"'}],
    "batchEvents": {"maxSize": r"[1-9]\d?|100", "timeout": DURATION, "key": KEY},
    "idempotency": KEY,
}
EVENT = {"name": '"(?!inngest/).{1,512}"', "data": OBJECT, "user": OBJECT, "id": TEXT, "ts": r"\d{1,13}", "v": TEXT}


class Refused(ValueError):
    """Something that this stand-in does not know or cannot read; the text names it."""


def check(value: Any, shape: Any, where: str) -> None:
    """Refuse what does not fit the shape and name the field; None and an empty list or object mean absent."""
    if isinstance(shape, str) or not isinstance(value, type(shape)):
        text = json.dumps(value, ensure_ascii=False)
        if not isinstance(shape, str) or not re.fullmatch(shape, text, re.DOTALL):
            raise Refused(f"{where}: {text[:200]} is not known to this stand-in")
        return
    for field, inner in value.items() if isinstance(shape, dict) else enumerate(value):
        if isinstance(shape, dict) and field not in shape and inner not in (None, [], {}):
            raise Refused(f"{where}.{field} is not known to this stand-in")
        if inner not in (None, [], {}):
            check(inner, shape[field] if isinstance(shape, dict) else shape[0], f"{where}.{field}")


def check_function(function: Json) -> None:
    label = f'function "{function["id"]}"'
    check(function, FUNCTION, label)
    try:
        for trigger in function["triggers"]:
            _ = trigger["event"] if "event" in trigger else next_firing(trigger["cron"], 0.0)
        _ = function["steps"]["step"]["runtime"]["url"]
    except (Refused, KeyError) as error:
        raise Refused(f"{label}: {error}") from error


def seconds(text: str) -> float:
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(?<![\d.])([\d.]++)(ms|[smhdw])", text))


def next_firing(cron: str, after: float) -> float:
    zone, fields = re.findall(r"^(?:TZ=(\S+) +)?(.*)", cron)[0]
    try:
        if len(fields.split()) != 5:
            raise Refused("five fields are needed")
        return float(croniter(fields, datetime.fromtimestamp(after, ZoneInfo(zone or "UTC"))).get_next(float))
    except (ValueError, KeyError) as error:
        raise Refused(f"the cron {cron!r} is not known: {error}") from error


def value_of(operand: str, scope: Any) -> str:
    """Return the JSON text of a literal or of what a path leads to; empty if it leads nowhere."""
    if not re.fullmatch(PATH, operand):
        return json.dumps(operand[1:-1]) if operand.startswith("'") else operand
    for part in operand.split("."):
        if not isinstance(scope, dict) or part not in scope:
            return ""
        scope = scope[part]
    return json.dumps(scope)


def holds(expression: str | None, event: Json, new: Json | None = None) -> bool:
    """Evaluate `a == b && c == d`; false where a path leads nowhere. `new` is the event that a step waited for."""
    scope = {"event": event, "async": new}
    pairs = [(value_of(a, scope), value_of(b, scope)) for a, b in re.findall(PAIR, expression or "")]
    return all(a == b != "" for a, b in pairs)


def read_events(body: bytes, seed: str, now: float) -> tuple[list[tuple[str, Json]], Refused | None]:
    """The events of a request as (internal id, event) up to the first bad one, and what is wrong with that.

    As on the real server, which reads while it keeps: what came before a bad event runs, though the answer is 400.
    """
    events: list[tuple[str, Json]] = []
    try:
        for index, item in enumerate(read_items(body)):
            if index == MAX_EVENTS:
                raise Refused(f"a request carries 1 to {MAX_EVENTS} events, not more")
            internal_id = seeded_id(seed, index + 1) or ulid(now)
            events.append((internal_id, read_event(item, internal_id, f"event {index}", now)))
        if not events:
            raise Refused(f"a request carries 1 to {MAX_EVENTS} events, not 0")
    except Refused as error:
        return events, error
    return events, None


def read_items(body: bytes) -> Iterator[Any]:
    """The values of a JSON array one by one, or the one value that the body is."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        text = body[: error.start].decode() + "\0"  # what JSON never holds: reading ends there
    place = skip(text, 0)
    if text.startswith("[", place):
        place = skip(text, place + 1)
        while not text.startswith("]", place):
            value, place = read_value(text, place)
            yield value
            place = next_item(text, place)
        place += 1
    else:
        value, place = read_value(text, place)
        yield value
    if skip(text, place) != len(text):
        raise Refused(f"the body is not JSON: more follows at character {place}")


def read_value(text: str, place: int) -> tuple[Any, int]:
    try:
        return DECODER.raw_decode(text, place)
    except (json.JSONDecodeError, RecursionError) as error:
        raise Refused(f"the body is not JSON: {error}") from error


def skip(text: str, place: int) -> int:
    while text[place : place + 1] in SPACES:
        place += 1
    return place


def next_item(text: str, place: int) -> int:
    """Where the next value of an array begins, or its bracket closes."""
    place = skip(text, place)
    if text.startswith("]", place):
        return place
    after = skip(text, place + 1)
    if not text.startswith(",", place) or text.startswith("]", after):
        raise Refused(f"the body is not JSON: a comma, a value or ] is missing at character {place}")
    return after


def refuse_constant(name: str) -> None:
    raise Refused(f"the number {name} is not known to this stand-in")


SPACES = frozenset(" \t\r\n")
DECODER = json.JSONDecoder(parse_constant=refuse_constant)


def seeded_id(seed: str, index: int) -> str | None:
    """The internal id that the real server makes of `x-inngest-event-id-seed` for the index-th event of a request.

    A seed is `millis,entropy`, the entropy ten bytes in base64; any other is ignored.
    """
    millis, _, text = seed.partition(",")
    try:
        entropy = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    if len(entropy) != 10 or not re.fullmatch(r"[1-9]\d{0,13}", millis, re.ASCII):
        return None
    last = (int.from_bytes(entropy[6:], "big") + index) % 2**32
    return ulid(int(millis) / 1000, entropy[:6] + last.to_bytes(4, "big"))


def read_event(item: Any, internal_id: str, where: str, now: float) -> Json:
    if not isinstance(item, dict) or not item.get("name"):
        raise Refused(f"{where} is not an object with a name")
    check(item, EVENT, where)
    try:
        size = len(json.dumps(item, ensure_ascii=False).encode())
    except UnicodeEncodeError as error:
        raise Refused(f"{where} holds text that is not Unicode: {error.reason}") from error
    if size > MAX_EVENT:
        raise Refused(f"{where} has {size} bytes, more than {MAX_EVENT}")
    event = make_event(item["name"], item.get("data"), item.get("id") or internal_id, now)
    return event | {key: item[key] for key in ("user", "ts", "v") if item.get(key)}


def make_event(name: str, data: Json | None, event_id: str, now: float) -> Json:
    return {"name": name, "data": data or {}, "user": {}, "id": event_id, "ts": int(now * 1000)}


def cron_event(cron: str, due: float, now: float) -> Json:
    """A firing: its id is its time, the same for every function that fires in that minute."""
    text = datetime.fromtimestamp(due, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = {"cron": cron, "scheduledAt": text, "fireAt": text}
    return make_event("inngest/scheduled.timer", data, text, now)


def problem(name: str, message: str) -> Json:
    return {"name": name, "message": message, "stack": ""}


def unreachable() -> Json:
    """The real server's error for an app that does not answer: JSON inside JSON, without a word on the address."""
    reason = "Unable to reach SDK URL"
    return problem("Error", json.dumps({"error": {"error": reason, "name": "Error", "message": reason}}))


def retry_time(header: str, now: float) -> float | None:
    """Read Retry-After, seconds or an ISO time, held between a second and a day as on the real server."""
    with suppress(ValueError):
        at = now + int(header) if header.isdigit() else datetime.fromisoformat(header).timestamp()
        return min(max(at, now + 1), now + 86_400)
    return None


def attempts_of(function: Json) -> int:
    return int(function["steps"]["step"].get("retries", {}).get("attempts", 4)) + 1


def places_of(function: Json, event: Json) -> list[tuple[str, int]]:
    """The concurrency limits that a call for this event takes a place under, as (name, limit)."""
    limits = [(limit, limit.get("key")) for limit in function.get("concurrency") or []]
    owners = [function["id"] if limit.get("scope", "fn") == "fn" else "all" for limit, _ in limits]
    values = [f"{key} {value_of(key, {'event': event})}" if key else "" for _, key in limits]
    return [(f"{o} {v}", limit["limit"]) for o, v, (limit, _) in zip(owners, values, limits, strict=True)]


def due_time(kind: str, op: Json, opts: Json, now: float, steps: int) -> float:
    """When to look at a planned step again; refuses a step that is not known, or one too many."""
    if steps >= MAX_STEPS:
        raise Refused(f"a run has at most {MAX_STEPS} steps")
    if kind == "StepPlanned":
        return now
    if kind == "Sleep":
        text = opts.get("duration") or op["name"]
        return datetime.fromisoformat(text).timestamp() if "T" in text else now + seconds(text)
    if kind not in ("WaitForEvent", "InvokeFunction"):
        raise Refused(f"{kind} is not known to this stand-in")
    if opts.get("if"):
        check(opts["if"], EXPRESSION, "if")
    return now + seconds(opts.get("timeout") or "365d")
