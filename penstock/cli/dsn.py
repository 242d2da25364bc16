"""`penstock dsn`: where the database is, for psql, a GUI or a variable."""

import argparse

from penstock.cli.arguments import Commands, add_command
from penstock.cli.session import command_settings


def add_commands(commands: Commands) -> None:
    add_command(
        commands, "dsn", print_dsn, "print the address of the database that the other commands use, its password too"
    )


def print_dsn(options: argparse.Namespace) -> None:
    print(command_settings().database_url)
