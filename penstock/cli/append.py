"""Append one event: `penstock append`."""

import argparse
import sys
from uuid import UUID

from penstock import event_store, json_codec
from penstock.cli.inngest import try_relay
from penstock.cli.session import print_json, reachable_settings
from penstock.errors import InvalidInput
from penstock.event_store import NewEvent
from penstock.payloads import check_payload_time
from penstock.postgres import pool


def append_event(options: argparse.Namespace) -> int:
    """Append one event, and publish it to Inngest if that can be reached."""
    settings = reachable_settings()
    metadata = {"actor": "penstock append", "source": "cli"}
    event_id = _uuid(options.id) if options.id else event_store.uuid7()
    event = NewEvent(options.event_type, _payload(options.event_type, options.payload), metadata, event_id)
    with pool.transaction(settings) as connection:
        done = event_store.append(connection, options.aggregate_type, options.aggregate_id, options.expected, [event])
    try_relay(settings)
    about = {"id": event.id, "version": done.version, "position": done.position, "duplicate": done.duplicate}
    if options.json:
        print_json(about)
    else:
        stored = "was stored before" if done.duplicate else "stored"
        print(f"{event.id} {stored}: version {done.version}, position {done.position}")
    return 0


def _payload(event_type: str, text: str) -> dict[str, object]:
    payload = _object(text, "payload")
    try:
        check_payload_time(event_type, payload)
    except ValueError as error:
        raise InvalidInput(str(error)) from error
    return payload


def _object(text: str, field: str) -> dict[str, object]:
    value = json_codec.loads(sys.stdin.read() if text == "-" else text, field=field)
    if not isinstance(value, dict):
        raise InvalidInput("not a JSON object", field=field)
    return value


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("not a UUID", field="id") from None
