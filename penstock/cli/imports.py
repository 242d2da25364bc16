"""`penstock imports`: the files that were loaded, with their state and counts."""

import argparse

from penstock.cli.arguments import Commands, add_command, add_json
from penstock.cli.session import print_json, print_rows, reachable_settings
from penstock.ingest import files

_COUNTS = ("read", "loaded", "skipped", "rejected", "held", "duplicate")
_COLUMNS = ("created_at", "target", "source_name", "state", *_COUNTS, "import_id", "error")


def add_commands(commands: Commands) -> None:
    imports = add_command(commands, "imports", list_imports, "list the last imports with their state and counts")
    imports.add_argument("--limit", type=int, default=20, choices=range(1, 1001), metavar="N")
    add_json(imports)


def list_imports(options: argparse.Namespace) -> None:
    """The latest first."""
    found = [each.as_json() for each in files.list_imports(reachable_settings(), options.limit)]
    print_json(found) if options.json else print_rows(found, _COLUMNS, empty="no file was imported yet")
