"""Signed calls that have come: anybody who recorded one can send it again, and it must run nothing then."""

from penstock.postgres import pool
from penstock.settings import Settings


def is_first_call(settings: Settings, call: str) -> bool:
    """Remember a verified call by its signature; False if it has come before, to whichever process."""
    with pool.connection(settings) as connection:
        row = connection.execute("select penstock.first_call(%s)", (call,)).fetchone()
    return row == (True,)
