"""`penstock completion bash|zsh`: what the shell needs to complete commands and options, by shtab."""

import argparse
from functools import partial

from penstock.cli.arguments import Commands, add_command
from penstock.errors import SettingsError

SHELLS = ("bash", "zsh")


def add_commands(commands: Commands, parser: argparse.ArgumentParser) -> None:
    completion = add_command(
        commands, "completion", partial(print_completion, parser), "print the script that completes commands in a shell"
    )
    completion.add_argument("shell", choices=SHELLS)


def print_completion(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    try:
        import shtab
    except ModuleNotFoundError:
        raise SettingsError("`penstock completion` needs the extra local (shtab is missing)") from None
    print(shtab.complete(parser, shell=options.shell))
