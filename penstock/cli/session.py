"""What commands share: the settings they run under, and how they print."""

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from penstock import json_codec
from penstock.errors import SettingsError
from penstock.postgres import migrations, pool
from penstock.project import find_project
from penstock.settings import Settings


def read_env_file() -> None:
    """Give this process what the project's file `.env` says and its environment does not.

    Into the environment itself, where the zone, the earliest day and the like are read before there are settings. The
    app never does this: on a host nothing but the host's own settings counts.
    """
    os.environ.update(environment())


def environment() -> dict[str, str]:
    """The process' environment, on top of what the project's file `.env` says."""
    return {**_env_file(find_project().folder / ".env"), **os.environ}


def command_settings() -> Settings:
    """DATABASE_URL, or else the embedded Postgres of a running `penstock up`.

    A caller that has the database's URL needs no key of ours, so what production asks of the app is not asked here.
    """
    env = environment()
    if not env.get("DATABASE_URL"):
        env["DATABASE_URL"] = _embedded_url()
        env["INNGEST_DEV"] = env.get("INNGEST_DEV") or up_record().get("inngest", "")
    # in a build on Vercel, too: a command serves nobody
    settings = Settings.from_env({**env, "PENSTOCK_ENV": "local", "VERCEL": ""})
    # as the app, which runs in the project's folder: both must find an import's file
    return replace(settings, storage_folder=find_project().folder / settings.storage_folder)


def reachable_settings() -> Settings:
    """The same, once the database has answered and is known to have all migrations.

    Else the reason is shown at once, not a pool's time-out or a missing table later.
    """
    settings = command_settings()
    with closing(pool.connect(settings.database_url)) as connection:
        if pending := migrations.pending_migrations(connection):
            raise SettingsError(
                f"the database lacks {len(pending)} migrations, {pending[0]} first: `penstock migrate` applies them"
            )
    return settings


def import_settings() -> Settings:
    """As `reachable_settings`; files go to Supabase Storage by the rule of the app that serves this database.

    So any worker that continues the import finds its file. The local database's files stay in the folder.
    """
    settings = reachable_settings()
    env = environment()
    hosted = bool(env.get("DATABASE_URL")) and env.get("PENSTOCK_ENV") != "local"
    has_storage = settings.supabase_url and settings.supabase_secret_key
    return replace(settings, environment="production") if hosted and has_storage else settings


def _env_file(path: Path) -> dict[str, str]:
    """As python-dotenv reads it, but each value as it is written: a `$` in a password stays one."""
    if not path.is_file():
        return {}
    try:
        lines = list(parse_stream(StringIO(path.read_text(encoding="utf-8"))))
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8") from None
    values = {}
    for line in lines:
        if line.error or (line.key is not None and line.value is None):
            raise SettingsError(f"{path}, line {line.original.line}: not NAME=value")
        if line.key is not None and line.value is not None:
            values[line.key] = line.value
    return values


def up_record() -> dict[str, str]:
    """What a running `penstock up` of this checkout says of itself: `address` and `inngest`."""
    from penstock.local import STATE

    try:
        record: dict[str, str] = json.loads((STATE / "up.json").read_text())
    except (FileNotFoundError, PermissionError):
        return {}
    return record


def _embedded_url() -> str:
    try:
        from penstock.local.postgres import EmbeddedPostgres
    except ModuleNotFoundError:
        url = None
    else:
        url = EmbeddedPostgres().running_dsn()
    if url is None:
        raise SettingsError("no database: set DATABASE_URL, or start the local one with `make up`")
    return url


def print_json(value: object) -> None:
    print(json.dumps(json.loads(json_codec.dumps(value)), ensure_ascii=False, indent=2))


def print_rows(rows: Sequence[Mapping[str, object]], columns: Iterable[str], *, empty: str) -> None:
    """A table for eyes; `--json` is for programs."""
    names = list(columns)
    if not rows:
        print(empty)
        return
    cells = [names, *([_cell(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(names))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say(line: str) -> None:
    """News on the way to a result go to stderr, so that stdout holds the result alone."""
    print(line, file=sys.stderr)


def _cell(value: object) -> str:
    text = "" if value is None else value if isinstance(value, str) else json_codec.dumps(value).strip('"')
    return " ".join(text.split())[:100]
