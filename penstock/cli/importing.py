"""Files in: `penstock import FILE` and `penstock import undo ID`."""

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID

from penstock.cli.import_arguments import reading_options
from penstock.cli.inngest import try_relay
from penstock.cli.progress import Progress
from penstock.cli.session import import_settings, print_json, print_rows, reachable_settings, say
from penstock.domain import after_import
from penstock.errors import InvalidInput, PenstockError
from penstock.ingest import files
from penstock.ingest.files import Import
from penstock.settings import Settings

_REJECT_COLUMNS = ("line", "field", "reason", "content")


def import_file(options: argparse.Namespace) -> int:
    """Load a file to its end; exit code 1 if it could not be loaded. Rejected lines alone are not a failure."""
    if options.file == "undo":
        return undo_import(options)
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
    return 0 if imported.state == "completed" else 1


def undo_import(options: argparse.Namespace) -> int:
    """Take an import into a table back: rows that it added go, rows that it changed are as they were."""
    undone = files.undo_import(reachable_settings(), _import_id(options.id))
    if options.json:
        print_json(undone.as_json())
        return 0
    counts = undone.result["undo"]
    print(
        f"undone: {counts['removed']:,} rows removed, {counts['restored']:,} restored,"
        f" {counts['kept']:,} kept because they were changed since (import {undone.id})"
    )
    return 0


def _compute_figures(settings: Settings) -> None:
    """What the file has changed. Its rows are stored even if this fails."""
    try:
        after_import(settings)
    except PenstockError as error:
        say(f"the figures are not computed yet ({error}); the next nightly run will")


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
        **_asked(options),
    )


def _send(
    settings: Settings, options: argparse.Namespace, progress: Progress, file: BinaryIO, size: int | None
) -> tuple[Import, bool]:
    """By the way of large files: to a signed address, then the import begins. Nothing is kept on this machine."""
    opened, url = files.open_upload(settings, options.target, **_asked(options))
    assert url is not None, "settings of a remote store have a signed address"
    with _measured(file, size) as (whole, length):
        files.send_upload(url, cast(BinaryIO, progress.storing(whole, length, "sending")), length)
    return files.end_upload(settings, opened.id), False


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": Path(options.file).name,
        "options": reading_options(options),
        "reject_limit": options.reject_limit,
        "actor": "penstock import",
    }


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
    found = files.dry_run(settings, options.target, source, options=reading_options(options))
    print_json(found) if options.json else _print_look(found)
    return 0


def _print_look(found: Mapping[str, Any]) -> None:
    plan = found["plan"]
    print(f"dry run, nothing is written: {found['read']:,} lines read, {found['loaded']:,} would be loaded,", end=" ")
    print(f"{found['rejected']:,} rejected, {found['duplicate']:,} are known already")
    said_of = ["gzip" if plan["gzip"] else "", plan["container"], f"sheet {plan['sheet']!r}" if plan["sheet"] else ""]
    said = [plan["format"], plan["encoding"], *said_of, _delimiter(plan["delimiter"])]
    print(f"read as {', '.join(part for part in said if part)}\n")
    fields = [
        {"column": column, "field": field or "(left out)", "type": plan["types"].get(field, "")}
        for column, field in plan["mapping"].items()
    ]
    print_rows(fields, ("column", "field", "type"), empty="no columns")
    for name in ("constants", "defaults", "dates"):
        for field, value in plan[name].items():
            print(f"{name.removesuffix('s')} of {field}: {value}")
    print(f"\nthe first {len(found['rows'])} rows")
    print_rows(found["rows"], found["rows"][0] if found["rows"] else (), empty="none would be loaded")
    if found["rejects"]:
        print(f"\nthe first {len(found['rejects'])} rejected lines")
        print_rows(found["rejects"], _REJECT_COLUMNS, empty="")


def _delimiter(character: str | None) -> str:
    return f"delimiter {character!r}" if character else ""


def _account(imported: Import) -> str:
    counts = (
        f"{imported.state}: {imported.rows_read:,} lines read, {imported.loaded:,} loaded,"
        f" {imported.rejected:,} rejected, {imported.duplicate:,} known before (import {imported.id})"
    )
    return f"{counts}\n{imported.error}" if imported.error else counts


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
