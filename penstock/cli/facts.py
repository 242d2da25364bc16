"""Facts in: `penstock append` and `penstock import`."""

import argparse
import sys
from pathlib import Path
from uuid import UUID

from penstock import database, event_store, imports, json_codec
from penstock.cli.session import print_json, reachable_settings, say
from penstock.cli.upper_floor import try_relay
from penstock.errors import InvalidInput
from penstock.event_store import NewEvent
from penstock.imports import Import
from penstock.settings import Settings

SECONDS_BETWEEN_NEWS = 2.0


def append_event(options: argparse.Namespace) -> int:
    """Append one event, and tell Inngest of it if that can be reached."""
    settings = reachable_settings()
    metadata = {"actor": "penstock append", "source": "cli"}
    event_id = _uuid(options.id) if options.id else event_store.uuid7()
    event = NewEvent(options.event_type, _object(options.payload, "payload"), metadata, event_id)
    with database.transaction(settings) as connection:
        done = event_store.append(connection, options.aggregate_type, options.aggregate_id, options.expected, [event])
    try_relay(settings)
    about = {"id": event.id, "version": done.version, "position": done.position, "duplicate": done.duplicate}
    if options.json:
        print_json(about)
    else:
        stored = "was stored before" if done.duplicate else "stored"
        print(f"{event.id} {stored}: version {done.version}, position {done.position}")
    return 0


def import_file(options: argparse.Namespace) -> int:
    """Load a file to its end; exit code 1 if it could not be loaded. Rejected lines alone are no failure."""
    settings = reachable_settings()
    source = sys.stdin.buffer if options.file == "-" else _file(options.file)
    mapping = {"mapping": _object(options.mapping, "mapping")} if options.mapping else {}
    imported, known = imports.create_import(
        settings, options.target, source, name=Path(options.file).name, options=mapping, actor="penstock import"
    )
    if known:
        say("this very file was imported before: going on with that import")
    while not imported.is_final:
        imported = imports.advance_import(settings, imported.id, seconds=SECONDS_BETWEEN_NEWS)
        say(_news(imported))
    if options.rejects:
        _write_rejects(settings, imported.id, Path(options.rejects))
    try_relay(settings)
    print_json(imported.as_json()) if options.json else print(_account(imported))
    return 0 if imported.state == "completed" else 1


def _news(imported: Import) -> str:
    share = min(imported.source_bytes, imported.size_bytes) / max(imported.size_bytes, 1)
    return f"{imported.state}: {imported.rows_read:,} lines read ({share:.0%} of the file)"


def _account(imported: Import) -> str:
    account = (
        f"{imported.state}: {imported.rows_read:,} lines read, {imported.loaded:,} loaded,"
        f" {imported.rejected:,} rejected, {imported.duplicate:,} known before (import {imported.id})"
    )
    return f"{account}\n{imported.error}" if imported.error else account


def _write_rejects(settings: Settings, import_id: UUID, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(imports.rejects_csv(settings, import_id))


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise InvalidInput("there is no such file", field=name)
    return path


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
