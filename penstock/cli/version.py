"""`penstock --version`."""

import argparse
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

# The package on PyPI, and a working copy of before it had its name.
DISTRIBUTIONS: Final = ("penstock-events", "penstock")


class ShowVersion(argparse.Action):
    """Looked up when it is asked for, since the search takes longer than parsing all else."""

    def __init__(self, option_strings: list[str], dest: str) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> None:
        print(f"penstock {installed_version()}")
        parser.exit()


def installed_version() -> str:
    for name in DISTRIBUTIONS:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "(not installed)"
