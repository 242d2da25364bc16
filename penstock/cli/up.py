"""`penstock up`, which needs the extra `local`."""

import argparse

from penstock.cli.session import environment
from penstock.errors import SettingsError
from penstock.project import install_domains


def up(options: argparse.Namespace) -> None:
    """Run everything until Ctrl-C."""
    try:
        from penstock.local.up import up as run
    except ModuleNotFoundError as error:
        raise SettingsError(f"`penstock up` needs the extra local ({error.name} is missing)") from None
    run(environment(), install_domains(), lambda line: print(line, flush=True))
