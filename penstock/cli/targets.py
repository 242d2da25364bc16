"""`penstock targets`: what a file can become, and the fields that it may have. Needs no database."""

import argparse
from collections.abc import Mapping
from typing import Any

from penstock.cli.arguments import Commands, add_command, add_json
from penstock.cli.session import print_json, print_rows
from penstock.ingest import files
from penstock.ingest.files.target import Target


def add_commands(commands: Commands) -> None:
    targets = add_command(commands, "targets", list_targets, "list what a file can be imported into, with the fields")
    targets.add_argument("target", nargs="?", help="this one alone")
    add_json(targets)


def list_targets(options: argparse.Namespace) -> None:
    names = [options.target] if options.target else files.target_names()
    found = [_described(files.find_target(name)) for name in names]
    if options.json:
        print_json(found)
        return
    for number, target in enumerate(found):
        print("\n" * (number > 0) + target["target"])
        rows = [{**each, "also called": ", ".join(each["also_called"])} for each in target["fields"]]
        print_rows(rows, ("field", "type", "needed", "also called"), empty="no fields")


def _described(target: Target) -> Mapping[str, Any]:
    either = {name: group for group in target.one_of for name in group}

    def needed(name: str, required: bool) -> str:
        if required:
            return "yes"
        return f"one of {', '.join(either[name])}" if name in either else ""

    return {
        "target": target.name,
        "fields": [
            {
                "field": each.name,
                "type": type(each.field_type).__name__.lower(),
                "needed": needed(each.name, each.required),
                "also_called": list(each.synonyms),
            }
            for each in target.fields
        ],
    }
