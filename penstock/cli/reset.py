"""`penstock reset`: an empty database again, in seconds. Migrations and settings stay."""

import argparse
import sys

from psycopg import conninfo

from penstock.cli.arguments import Commands, add_command
from penstock.cli.session import environment, import_settings
from penstock.domain import data_tables
from penstock.errors import SettingsError
from penstock.operations.reset import Held, reset_data, what_is_held


def add_commands(commands: Commands) -> None:
    reset = add_command(
        commands, "reset", reset_database, "delete all data: events, read models, imports, runs; settings stay"
    )
    reset.add_argument("--yes", action="store_true", help="do not ask")
    reset.add_argument("--production", action="store_true", help="also if DATABASE_URL is not said to be local")


def reset_database(options: argparse.Namespace) -> int:
    """Ask, then delete; exit code 1 if the answer is no."""
    settings = import_settings()
    env = environment()
    place = _place(settings.database_url)
    if env.get("DATABASE_URL") and env.get("PENSTOCK_ENV") != "local" and not options.production:
        raise SettingsError(
            f"{place} is not said to be local: set PENSTOCK_ENV=local, or give --production to delete its data for good"
        )
    if not options.yes and not _agreed(place, what_is_held(settings)):
        print("nothing is deleted")
        return 1
    files = reset_data(settings, data_tables())
    print(f"{place} is empty, and {files:,} files of imports are deleted; migrations and settings are as they were")
    return 0


def _agreed(place: str, held: Held) -> bool:
    """Asked by the name of the database, which nobody types by habit."""
    if not sys.stdin.isatty():
        raise SettingsError("nobody is here to be asked: --yes deletes all data without asking")
    name = place.rpartition("/")[2]
    print(f"{place} holds {held.events:,} events in {held.streams:,} streams, and {held.imports:,} imports.")
    return input(f"All of it is deleted for good. Type the name of the database, {name}, to go on: ").strip() == name


def _place(database_url: str) -> str:
    """Host and database, without what is secret."""
    parts = conninfo.conninfo_to_dict(database_url)
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname') or parts.get('user', '')}"
