"""This machine's own servers are reached past a configured proxy."""

from collections.abc import Mapping

import pytest

from penstock.local.loopback_no_proxy import loopback_no_proxy


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": ".corp, localhost"}, ".corp,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,127.0.0.1,localhost,::1"),
        ({"no_proxy": "", "NO_PROXY": "b"}, "b,127.0.0.1,localhost,::1"),
    ],
)
def test_our_own_names_are_added_in_both_spellings(given: Mapping[str, str], hosts: str) -> None:
    assert loopback_no_proxy(given) == {"no_proxy": hosts, "NO_PROXY": hosts}
