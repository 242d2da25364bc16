"""The command line `penstock`: each command calls the core that the app and the Inngest functions call.

An error is one line on stderr and exit code 1; wrong usage is exit code 2. Commands are imported when they are
run, so that a production install without the extra `local` has all of them but `up`.
"""

from penstock.cli.parser import main, parse

__all__ = ["main", "parse"]
