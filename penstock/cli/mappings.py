"""Remembered mappings: `penstock mappings [list|show|edit|forget]`."""

import argparse
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from penstock.cli.arguments import Commands, add_command, add_json
from penstock.cli.import_arguments import add_reading, reading_options
from penstock.cli.session import print_json, print_rows, reachable_settings
from penstock.errors import InvalidInput
from penstock.ingest import files
from penstock.ingest.files import RememberedMapping

_COLUMNS = ("mapping_id", "target", "source_name", "uses", "options")


def add_commands(commands: Commands) -> None:
    parser = add_command(commands, "mappings", list_mappings, "how files are read that were explained once")
    parser.set_defaults(target=None)
    add_json(parser)
    actions = parser.add_subparsers(metavar="action")
    listing = add_command(actions, "list", list_mappings, "list them, those that were set last first")
    listing.add_argument("--target", help="of this target only")
    showing = add_command(actions, "show", show_mapping, "show one with its header and its options")
    editing = add_command(actions, "edit", edit_mapping, "change its options: the next file is read by them")
    editing.add_argument("id")
    add_reading(editing.add_argument_group("options to add or to replace; --options in place of all it has"))
    forgetting = add_command(actions, "forget", forget_mapping, "forget one; what was imported by it stays")
    for action in (showing, forgetting):
        action.add_argument("id")
    for action in (listing, showing, editing, forgetting):
        add_json(action)


def list_mappings(options: argparse.Namespace) -> None:
    rows = [mapping.as_json() for mapping in files.list_mappings(reachable_settings(), options.target)]
    print_json(rows) if options.json else print_rows(rows, _COLUMNS, empty="no mapping is remembered")


def show_mapping(options: argparse.Namespace) -> None:
    _show(options, files.read_mapping(reachable_settings(), _id_of(options)))


def edit_mapping(options: argparse.Namespace) -> None:
    settings, mapping_id = reachable_settings(), _id_of(options)
    said = reading_options(options)
    if not said:
        raise InvalidInput("say what to change, as in `penstock import`, or all of them by --options", field="options")
    before = {} if options.options else files.read_mapping(settings, mapping_id).options
    changed = files.change_mapping(settings, mapping_id, _merged(before, said), actor="penstock mappings")
    _show(options, changed)


def forget_mapping(options: argparse.Namespace) -> None:
    mapping_id = _id_of(options)
    files.forget_mapping(reachable_settings(), mapping_id)
    print_json({"mapping_id": mapping_id, "forgotten": True}) if options.json else print(f"forgotten: {mapping_id}")


def _merged(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged by their keys, other options replaced."""
    return {**before} | {
        name: {**before.get(name, {}), **value} if isinstance(value, dict) else value for name, value in said.items()
    }


def _show(options: argparse.Namespace, mapping: RememberedMapping) -> None:
    if options.json:
        print_json(mapping.as_json())
        return
    print(
        f"{mapping.target}, remembered from {mapping.source_name}, used {mapping.uses:,} times (mapping {mapping.id})"
    )
    print(f"header: {', '.join(mapping.header)}")
    print(json.dumps(mapping.options, ensure_ascii=False, indent=2))


def _id_of(options: argparse.Namespace) -> UUID:
    try:
        return UUID(options.id)
    except ValueError:
        raise InvalidInput("not the id of a mapping", field="id") from None
