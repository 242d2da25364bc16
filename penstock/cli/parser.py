"""What can be typed, and which command it becomes."""

import argparse
import os
import re
import signal
import sys
from collections.abc import Iterable, Sequence

import psycopg

from penstock.cli import (
    append,
    completion,
    compute,
    dsn,
    import_arguments,
    importing,
    imports,
    keys,
    mappings,
    operations,
    reset,
    setup,
    tail,
    targets,
    up,
)
from penstock.cli.arguments import AddCommands, Commands, add_command, add_json, position
from penstock.cli.session import read_env_file
from penstock.cli.version import ShowVersion
from penstock.errors import PenstockError
from penstock.postgres.pool import close_pools
from penstock.postgres.sqlstates import translate
from penstock.project import install_domains


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    try:
        read_env_file()
        options = parse(arguments, install_domains().commands)
        return int(options.run(options) or 0)
    except BrokenPipeError:
        # who reads, `head` say, has enough; what is still buffered must not fail again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (PenstockError, psycopg.Error, OSError) as error:
        return _tell(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    finally:
        close_pools()


def parse(arguments: Sequence[str] | None = None, more: Iterable[AddCommands] = ()) -> argparse.Namespace:
    """What was typed. `more` adds the commands of domains."""
    parser = argparse.ArgumentParser(
        prog="penstock",
        description="Events in, figures out. Works on DATABASE_URL, or on the Postgres of a running `penstock up`.",
    )
    parser.add_argument("--version", action=ShowVersion)
    commands = parser.add_subparsers(required=True, metavar="command")
    _running(commands)
    _facts(commands)
    _figures(commands)
    _operations(commands)
    for add in more:
        add(commands)
    completion.add_commands(commands, parser)
    options = parser.parse_args(arguments)
    if check := getattr(options, "check", None):
        check(parser, options)
    return options


def _tell(error: Exception) -> int:
    shown = translate(error) if isinstance(error, psycopg.Error) else error
    if isinstance(shown, psycopg.Error):
        shown = PenstockError(f"{shown.sqlstate}: {shown.diag.message_primary or shown}")
    # One line, whatever a driver or a server wrote; what is below it is indented.
    first, *rest = [line.rstrip() for line in str(shown).splitlines() if line.strip()] or [type(shown).__name__]
    notes = [f"({note})" for note in getattr(error, "__notes__", [])]
    print(" ".join(["penstock:", first, *notes]), file=sys.stderr)
    for line in rest:
        print(line if line.startswith(" ") else f"  {line}", file=sys.stderr)
    return 1


def _running(commands: Commands) -> None:
    add_command(commands, "up", up.up, "run everything on this machine until Ctrl-C")
    for room in (setup, dsn, keys, reset):
        room.add_commands(commands)


def _facts(commands: Commands) -> None:
    importing_parser = add_command(
        commands, "import", importing.import_file, "load a CSV, JSON or JSON Lines file, or take an import back"
    )
    import_arguments.add(importing_parser)
    importing_parser.set_defaults(check=import_arguments.check)
    add_json(importing_parser)
    for room in (imports, targets, mappings, tail):
        room.add_commands(commands)
    appending = add_command(commands, "append", append.append_event, "append one event to a stream")
    appending.add_argument("aggregate_type")
    appending.add_argument("aggregate_id")
    appending.add_argument("event_type")
    appending.add_argument("--payload", default="{}", help="a JSON object; - reads it from standard input")
    appending.add_argument("--expected", type=_expected_version, default="any", metavar="VERSION")
    appending.add_argument("--id", help="the event's UUID; the same again changes nothing")
    add_json(appending)


def _figures(commands: Commands) -> None:
    refresh = add_command(
        commands, "refresh", compute.refresh, "bring read models up to date, then refresh views; without names, all"
    )
    refresh.add_argument("views", nargs="*", metavar="view")
    add_json(refresh)
    rebuild = add_command(commands, "rebuild", compute.rebuild, "fill a read model again, while it is being read")
    rebuild.add_argument("projection", metavar="name")
    add_json(rebuild)


def _operations(commands: Commands) -> None:
    relay = add_command(
        commands, "relay", operations.relay, "publish events to Inngest now that were not published yet"
    )
    relay.add_argument(
        "--from",
        dest="from_position",
        type=position,
        metavar="POSITION",
        help="publish all events from this position on again, since Inngest lost them",
    )
    retry = add_command(commands, "retry", operations.retry, "run dead letters again; without an id, list them")
    retry.add_argument("ids", nargs="*", metavar="id")
    retry.add_argument("--all", action="store_true", help="all that are open")
    retry.add_argument("--drop", action="append", default=[], metavar="ID", help="give this one up; may be repeated")
    add_json(retry)
    runs = add_command(commands, "runs", operations.runs, "list the last runs of the pipelines")
    runs.add_argument("--pipeline")
    runs.add_argument("--limit", type=int, default=20, choices=range(1, 1001), metavar="N")
    add_json(runs)
    doctor = add_command(commands, "doctor", operations.diagnose, "check the set-up; exit code 1 if something is wrong")
    add_json(doctor)


def _expected_version(text: str) -> int | str:
    if text in ("any", "no_stream", "stream_exists"):
        return text
    if re.fullmatch(r"[0-9]{1,10}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is none of any, no_stream, stream_exists or a version")
