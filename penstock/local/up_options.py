"""What `penstock up` is asked for, read from the environment before anything starts.

Each refusal is one line that names the variable, so that a wrong set-up leaves nothing running.
"""

import errno
import ipaddress
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx

from penstock.errors import SettingsError
from penstock.local.server_user import LocalServerFailed

DEFAULT_PORT = "8000"
DEFAULT_INNGEST = "http://127.0.0.1:8288"
PROBE_SECONDS = 3


@dataclass(frozen=True)
class Inngest:
    """Where Inngest is, and whether it is our stand-in that has to be started there."""

    url: str
    is_ours: bool

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80


@dataclass(frozen=True)
class UpOptions:
    port: int
    sample: bool
    inngest: Inngest

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def up_options(environment: Mapping[str, str]) -> UpOptions:
    """Read PORT, SAMPLE and INNGEST_DEV; probe for a running Inngest; refuse ports that are taken."""
    port = _port(environment.get("PORT") or DEFAULT_PORT)
    sample = _switch("SAMPLE", environment.get("SAMPLE") or "1")
    _require_free(port, "set PORT to another one")
    inngest = _inngest(environment.get("INNGEST_DEV", ""))
    if inngest.is_ours and inngest.port == port:
        raise SettingsError(f"PORT is {port}, where the Inngest stand-in listens: set PORT to another one")
    return UpOptions(port, sample, inngest)


def _inngest(value: str) -> Inngest:
    """INNGEST_DEV as the SDK reads it: a URL, or a switch for the usual address."""
    if value.lower() in ("", "0", "false", "no", "off"):
        _require_free(Inngest(DEFAULT_INNGEST, True).port, f"set INNGEST_DEV={DEFAULT_INNGEST} to use it")
        return Inngest(DEFAULT_INNGEST, is_ours=True)
    url = DEFAULT_INNGEST if value.lower() in ("1", "true", "yes", "on") else value.rstrip("/")
    _check_url(url)
    if _answers(url):
        return Inngest(url, is_ours=False)
    if not _is_loopback(url):
        raise SettingsError(f"INNGEST_DEV: no Inngest server answers at {url}")
    inngest = Inngest(url, is_ours=True)
    _require_free(inngest.port, "set INNGEST_DEV to another address (what listens there does not speak HTTP)")
    return inngest


def _answers(url: str) -> bool:
    """Any HTTP answer counts. A server that is just starting gets some seconds."""
    deadline = time.monotonic() + PROBE_SECONDS
    while True:
        try:
            httpx.get(url, timeout=1, trust_env=False)
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        else:
            return True


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        correct = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        correct = False
    if not correct:
        raise SettingsError(f"INNGEST_DEV is {url!r}, neither 1 nor an address such as {DEFAULT_INNGEST}")


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


def _port(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise SettingsError(f"PORT is {text!r}, not a whole number from 1 to 65535")
    return int(text)


def _switch(name: str, text: str) -> bool:
    if text not in ("0", "1"):
        raise SettingsError(f"{name} is {text!r}, not 0 or 1")
    return text == "1"


def _require_free(port: int, remedy: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            reason = (
                "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
            )
            raise LocalServerFailed(f"port {port} {reason}; free it, or {remedy}") from None
