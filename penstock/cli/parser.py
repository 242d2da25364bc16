"""What can be typed, and which command it becomes."""

import argparse
import importlib
import os
import re
import signal
import sys
from collections.abc import Sequence
from datetime import date

import psycopg

from penstock.cli import import_arguments
from penstock.errors import PenstockError
from penstock.postgres.pool import close_pools, translate
from penstock.project import install_domains


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    options = parse(arguments)
    # `module:function` in this package, imported only now.
    module, _, name = options.command.partition(":")
    try:
        run = getattr(importlib.import_module(f"penstock.cli.{module}"), name)
        install_domains()
        return int(run(options) or 0)
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


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="penstock",
        description="Facts in, figures out. Works on DATABASE_URL, or on the Postgres of a running `penstock up`.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    _running(commands)
    _facts(commands)
    _figures(commands)
    _operations(commands)
    options = parser.parse_args(arguments)
    _check_days(parser, options)
    import_arguments.check(parser, options)
    return options


def _check_days(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    first, last = getattr(options, "from_day", None), getattr(options, "to_day", None)
    if last and not first:
        parser.error("--to needs --from")
    if first and last and last < first:
        parser.error(f"--to {last} is before --from {first}")


def _tell(error: Exception) -> int:
    shown = translate(error) if isinstance(error, psycopg.Error) else error
    if isinstance(shown, psycopg.Error):
        shown = PenstockError(f"{shown.sqlstate}: {shown.diag.message_primary or shown}")
    # One line, whatever a driver or a server wrote; what stands below it is indented.
    first, *rest = [line.rstrip() for line in str(shown).splitlines() if line.strip()] or [type(shown).__name__]
    notes = [f"({note})" for note in getattr(error, "__notes__", [])]
    print(" ".join(["penstock:", first, *notes]), file=sys.stderr)
    for line in rest:
        print(line if line.startswith(" ") else f"  {line}", file=sys.stderr)
    return 1


Commands = argparse._SubParsersAction


def _command(commands: "Commands[argparse.ArgumentParser]", name: str, call: str, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text)
    parser.set_defaults(command=call)
    return parser


def _running(commands: "Commands[argparse.ArgumentParser]") -> None:
    _command(commands, "up", "local:up", "run everything on this machine until Ctrl-C")
    _command(commands, "migrate", "operations:migrate", "apply the migrations that are missing")


def _facts(commands: "Commands[argparse.ArgumentParser]") -> None:
    importing = _command(
        commands, "import", "importing:import_file", "load a CSV, JSON or JSON Lines file, or take an import back"
    )
    import_arguments.add(importing)
    _json(importing)
    append = _command(commands, "append", "facts:append_event", "append one event to a stream")
    append.add_argument("aggregate_type")
    append.add_argument("aggregate_id")
    append.add_argument("event_type")
    append.add_argument("--payload", default="{}", help="a JSON object; - reads it from standard input")
    append.add_argument("--expected", type=_expected_version, default="any", metavar="VERSION")
    append.add_argument("--id", help="the event's UUID; the same again changes nothing")
    _json(append)


def _figures(commands: "Commands[argparse.ArgumentParser]") -> None:
    etl = _command(
        commands, "etl", "figures:compute_days", "compute the daily figures; without days, those that are due"
    )
    etl.add_argument("--from", dest="from_day", type=_day, metavar="YYYY-MM-DD")
    etl.add_argument("--to", dest="to_day", type=_day, metavar="YYYY-MM-DD", help="the last day, included")
    _json(etl)
    refresh = _command(commands, "refresh", "figures:refresh", "refresh materialized views; without names, all")
    refresh.add_argument("views", nargs="*", metavar="view")
    _json(refresh)
    rebuild = _command(commands, "rebuild", "figures:rebuild", "fill a read model anew, while it is being read")
    rebuild.add_argument("projection", metavar="name")
    _json(rebuild)


def _operations(commands: "Commands[argparse.ArgumentParser]") -> None:
    relay = _command(commands, "relay", "operations:relay", "tell Inngest now about events that it was not told of")
    relay.add_argument(
        "--from",
        dest="from_position",
        type=_position,
        metavar="POSITION",
        help="tell it of all events from this position on again, since it lost them",
    )
    retry = _command(commands, "retry", "operations:retry", "run dead letters again; without an id, list them")
    retry.add_argument("ids", nargs="*", metavar="id")
    retry.add_argument("--all", action="store_true", help="all that are open")
    _json(retry)
    runs = _command(commands, "runs", "operations:runs", "list the last runs of the pipelines")
    runs.add_argument("--pipeline")
    runs.add_argument("--limit", type=int, default=20, choices=range(1, 1001), metavar="N")
    _json(runs)
    doctor = _command(commands, "doctor", "operations:diagnose", "check the set-up; exit code 1 if something is wrong")
    _json(doctor)


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON")


def _day(text: str) -> date:
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a day such as 2010-12-31")


def _position(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a position")


def _expected_version(text: str) -> int | str:
    if text in ("any", "no_stream", "stream_exists"):
        return text
    if re.fullmatch(r"[0-9]{1,10}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is none of any, no_stream, stream_exists or a version")
