"""`penstock keys NAME`: a new key for a caller of the API. It is printed once and kept nowhere."""

import argparse
import hashlib
import re
import secrets
from typing import Final

from penstock.cli.arguments import Commands, add_command, add_json
from penstock.cli.session import print_json, say
from penstock.settings import API_KEY_NAME, SCOPES

_BYTES: Final = 32


def add_commands(commands: Commands) -> None:
    keys = add_command(commands, "keys", make_key, "make a key for a caller, and its entry for PENSTOCK_API_KEYS")
    keys.add_argument("name", type=_name, help="who will use it: the actor of what is written with it")
    keys.add_argument("--scope", action="append", choices=SCOPES, help="may be repeated; without any: read")
    add_json(keys)


def make_key(options: argparse.Namespace) -> None:
    """Print the key and the entry, which holds its hash alone."""
    key = f"pk_{secrets.token_urlsafe(_BYTES)}"
    scopes = [scope for scope in SCOPES if scope in (options.scope or ("read",))]
    entry = f"{options.name}:{hashlib.sha256(key.encode()).hexdigest()}:{'+'.join(scopes)}"
    if options.json:
        print_json({"key": key, "entry": entry})
        return
    print(f"key    {key}\nentry  {entry}")
    say("Give the key to the caller: it is shown this once. Add the entry to PENSTOCK_API_KEYS, after a comma.")


def _name(text: str) -> str:
    if not re.fullmatch(API_KEY_NAME, text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a name of at most 64 letters, digits, dots, dashes or _")
    return text
