"""Where a proxy is configured, what runs on this machine is still reached without it."""

from collections.abc import Mapping

OWN = ("127.0.0.1", "localhost", "::1")


def loopback_no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """`no_proxy` in both spellings (a program may read either), with this machine's own names added."""
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    names = [name.strip() for name in given.split(",") if name.strip()]
    hosts = ",".join(dict.fromkeys([*names, *OWN]))
    return {"no_proxy": hosts, "NO_PROXY": hosts}
