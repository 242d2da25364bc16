"""Files in: `penstock import FILE`, `penstock import undo ID` and `penstock import release ID`."""

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID

from penstock.cli.compute import refresh_all
from penstock.cli.import_arguments import reading_options
from penstock.cli.inngest import try_relay
from penstock.cli.progress import Progress
from penstock.cli.session import import_settings, print_json, print_rows, reachable_settings, say
from penstock.domain import after_import
from penstock.errors import InvalidInput, PenstockError
from penstock.ingest import files
from penstock.ingest.files import Import
from penstock.settings import Settings

_REJECT_COLUMNS = ("line", "outcome", "field", "reason", "content")
_EXIT_CODES = {"completed": 0, "completed_with_rejects": 3}


def import_file(options: argparse.Namespace) -> int:
    """Load a file to its end; exit code 1 if it could not be loaded, 3 if more lines than a share were refused."""
    if options.file == "undo":
        return undo_import(options)
    if options.file == "release":
        return release_held(options)
    settings = import_settings()
    if options.dry_run:
        return _look(settings, options)
    imported = _load(settings, options)
    if options.rejects:
        _write_rejects(settings, imported.id, Path(options.rejects))
    try_relay(settings)
    if imported.loaded:
        _compute_figures(settings)
    print_json(imported.as_json()) if options.json else print(_account(imported))
    return _EXIT_CODES.get(imported.state, 1)


def undo_import(options: argparse.Namespace) -> int:
    """Take an import back: what it added goes, what it changed is as it was. Stopped in the middle, it goes on."""
    settings = reachable_settings()
    undone = files.undo_import(settings, _import_id(options.id))
    if undone.result["undo"].get("events"):
        try_relay(settings)
        _compute_figures(settings)
    if options.json:
        print_json(undone.as_json())
        return 0
    counts = undone.result["undo"]
    what = f"by {counts['events']:,} events: " if "events" in counts else ""
    of_what = "" if "events" in counts else " rows"
    print(
        f"undone: {what}{counts['removed']:,}{of_what} removed, {counts['restored']:,} restored,"
        f" {counts['kept']:,} kept because they were changed since (import {undone.id})"
    )
    return 0


def release_held(options: argparse.Namespace) -> int:
    """Load orders that an import holds back as they are, all of them or those that are named."""
    settings = reachable_settings()
    before = files.import_status(settings, _import_id(options.id))
    imported = files.release_held(settings, before.id, options.keys)
    try_relay(settings)
    if imported.loaded > before.loaded:
        _compute_figures(settings)
    released = imported.result.get("released", 0) - before.result.get("released", 0)
    print_json(imported.as_json()) if options.json else print(f"released: {released:,} orders\n{_account(imported)}")
    return 0


def _compute_figures(settings: Settings) -> None:
    """What the file has changed. Its rows are stored even if this fails."""
    try:
        after_import(settings)
        refresh_all(settings)
    except PenstockError as error:
        say(f"the figures are not computed yet ({error}): `penstock refresh` and the next nightly run will")


def _load(settings: Settings, options: argparse.Namespace) -> Import:
    with Progress(settings) as progress, _source(options.file) as (file, size):
        how = _send if files.is_remote(settings) else _store
        imported, known = how(settings, options, progress, file, size)
        while True:
            if known:
                progress.note("this very file was imported before: going on with that import")
            progress.follow(imported.id)
            try:
                done = files.advance_import(settings, imported.id)
            except KeyboardInterrupt:
                progress.note(f"stopped; the same command goes on where it stopped (import {imported.id})")
                raise
            # of a file that was sent, only reading it shows that it is known
            if not (same := done.result.get("same_as")):
                return done
            imported, known = files.import_status(settings, UUID(same)), True


def _store(
    settings: Settings, options: argparse.Namespace, progress: Progress, file: BinaryIO, size: int | None
) -> tuple[Import, bool]:
    return files.create_import(
        settings,
        options.target,
        file if size is None else cast(BinaryIO, progress.storing(file, size)),
        **_asked(settings, options),
    )


def _send(
    settings: Settings, options: argparse.Namespace, progress: Progress, file: BinaryIO, size: int | None
) -> tuple[Import, bool]:
    """By the way of large files: to a signed address, then the import begins. Nothing is kept on this machine."""
    opened, url = files.open_upload(settings, options.target, **_asked(settings, options))
    assert url is not None, "settings of a remote store have a signed address"
    with _measured(file, size) as (whole, length):
        files.send_upload(url, cast(BinaryIO, progress.storing(whole, length, "sending")), length)
    return files.end_upload(settings, opened.id), False


def _asked(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": Path(options.file).name,
        "options": _read_how(settings, options),
        "reject_limit": options.reject_limit,
        "reject_share": options.reject_share,
        "actor": "penstock import",
    }


def _read_how(settings: Settings, options: argparse.Namespace) -> dict[str, Any]:
    """The options; files to be joined are stored first, so that an import finds them wherever it runs."""
    said = reading_options(options)
    named = [entry["file"] for entry in said.get("join", ()) if "sha256" not in entry]
    return files.store_joined(settings, said, {name: _file(name) for name in named})


@contextmanager
def _source(name: str) -> Iterator[tuple[BinaryIO, int | None]]:
    """The file and its size, which standard input does not give."""
    if name == "-":
        yield sys.stdin.buffer, None
        return
    path = _file(name)
    with path.open("rb") as file:
        yield file, path.stat().st_size


@contextmanager
def _measured(file: BinaryIO, size: int | None) -> Iterator[tuple[BinaryIO, int]]:
    """Storage wants to know the size first, so standard input is put down before it is sent."""
    if size is not None:
        yield file, size
        return
    with TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        length = copy.tell()
        copy.seek(0)
        yield copy, length


def _look(settings: Settings, options: argparse.Namespace) -> int:
    source = sys.stdin.buffer if options.file == "-" else _file(options.file)
    found = files.dry_run(settings, options.target, source, options=_read_how(settings, options))
    print_json(found) if options.json else _print_look(found)
    return 0


def _print_look(found: Mapping[str, Any]) -> None:
    plan = found["plan"]
    lines = "lines read," if found["complete"] else "lines read, the file goes on: of these"
    print(f"dry run, nothing is written: {found['read']:,} {lines} {found['loaded']:,} would be loaded,", end=" ")
    left_out = ", ".join(f"{found[name]:,} {name}" for name in ("skipped", "rejected", "held"))
    print(f"{left_out}, {found['duplicate']:,} are known already")
    said_of = ["gzip" if plan["gzip"] else "", plan["container"], f"sheet {plan['sheet']!r}" if plan["sheet"] else ""]
    said = [plan["format"], plan["encoding"], *said_of, _delimiter(plan["delimiter"])]
    print(f"read as {', '.join(part for part in said if part)}\n")
    fields = [
        {"column": column, "field": field or "(left out)", "type": plan["types"].get(field, "")}
        for column, field in plan["mapping"].items()
    ]
    print_rows(fields, ("column", "field", "type"), empty="no columns")
    for field, source in plan["fields"].items():
        print(f"{field} is made of {json.dumps(source, ensure_ascii=False)}")
    for wanted in plan["rows"]:
        print(f"only rows with {json.dumps(wanted, ensure_ascii=False)}")
    for join in plan["joins"]:
        print(f"joined with {join['file']} on {json.dumps(join['on'], ensure_ascii=False)}")
    for note in plan["notes"]:
        print(f"note: {note}")
    for name in ("constants", "defaults", "dates"):
        for field, value in plan[name].items():
            print(f"{name.removesuffix('s')} of {field}: {value}")
    for warning in found["warnings"]:
        print(f"warning: {warning}")
    print(f"\nthe first {len(found['rows'])} rows")
    print_rows(found["rows"], found["rows"][0] if found["rows"] else (), empty="none would be loaded")
    if found["rejects"]:
        print(f"\nthe first {len(found['rejects'])} lines that are left out")
        print_rows(found["rejects"], _REJECT_COLUMNS, empty="")


def _delimiter(character: str | None) -> str:
    return f"delimiter {character!r}" if character else ""


def _account(imported: Import) -> str:
    counts = (
        f"{imported.state}: {imported.rows_read:,} lines read, {imported.loaded:,} loaded,"
        f" {imported.skipped:,} skipped, {imported.rejected:,} rejected, {imported.held:,} held,"
        f" {imported.duplicate:,} known before (import {imported.id})"
    )
    warnings = [f"warning: {text}" for text in imported.result.get("warnings", ())]
    joined = [
        f"{file['file']}: {file['read']:,} records read, {file['used']:,} used, {file['unused']:,} unused,"
        f" {file['repeated']:,} repeated, {file['rejected']:,} rejected"
        for file in imported.result.get("joined", ())
    ]
    return "\n".join([counts, *joined, *([imported.error] if imported.error else []), *warnings])


def _write_rejects(settings: Settings, import_id: UUID, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.writelines(files.rejects_csv(settings, import_id))


def _file(name: str) -> Path:
    path = Path(name)
    if not path.is_file():
        raise InvalidInput("there is no such file", field=name)
    return path


def _import_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput("not the id of an import", field="id") from None
