"""Local mode and the addresses on which its server listens."""

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from penstock.errors import SettingsError
from penstock.http import listening
from penstock.settings import Settings
from tests.unit.http.uvicorn_app import uvicorn
from tests.waiting import PATIENCE_SECONDS

URL = "postgresql://127.0.0.1:1/none"
LOCAL, PRODUCTION = Settings(URL, environment="local"), Settings(URL)


@contextmanager
def listening_on(host: str) -> Iterator[None]:
    with closing(socket.socket()) as server:
        server.bind((host, 0))
        server.listen()
        yield


def start_and_stop(settings: Settings) -> None:
    async def scene() -> None:
        async with listening.on_this_machine(settings):
            await asyncio.sleep(0)

    asyncio.run(scene())


def test_a_server_of_this_machine_alone_starts_in_local_mode() -> None:
    with listening_on("127.0.0.1"), listening_on("127.0.0.2"):
        assert listening.listening_addresses() >= {"127.0.0.1", "127.0.0.2"}
        start_and_stop(LOCAL)


def test_a_server_that_listens_to_other_machines_starts_in_production_only() -> None:
    with listening_on("127.0.0.1"), listening_on("0.0.0.0"):
        start_and_stop(PRODUCTION)
        with pytest.raises(SettingsError, match=r"listens on 0\.0\.0\.0: "):
            start_and_stop(LOCAL)


@pytest.mark.parametrize("address", ["::1", "::ffff:127.0.0.1", "127.1.2.3"])
def test_every_loopback_address_is_of_this_machine(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "listening_addresses", lambda: {address})
    start_and_stop(LOCAL)


@pytest.mark.parametrize("address", ["::", "fe80::1%eth0", "::ffff:10.0.0.1", "192.168.1.5"])
def test_any_other_address_is_not(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "listening_addresses", lambda: {"127.0.0.1", address})
    with pytest.raises(SettingsError, match=f"listens on {address}: "):
        start_and_stop(LOCAL)


def test_a_connection_that_somebody_else_accepts_is_not_taken_for_a_server() -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("0.0.0.0", 0))
        assert "0.0.0.0" not in listening.listening_addresses()


def test_what_the_server_opens_later_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[int] = []
    monkeypatch.setattr(listening.signal, "raise_signal", raised.append)
    monkeypatch.setattr(listening, "_LOOKS", 2)
    asyncio.run(listening.stop_if_public())
    assert raised == []
    with listening_on("0.0.0.0"):
        asyncio.run(listening.stop_if_public())
    assert raised == [signal.SIGTERM]


def test_uvicorn_on_all_addresses_ends_and_says_why() -> None:
    with uvicorn("0.0.0.0") as server:
        server.process.wait(PATIENCE_SECONDS)
        assert server.process.returncode != 0
        assert "PENSTOCK_ENV=local switches authentication off" in server.said
        assert "listens on 0.0.0.0" in server.said


def test_uvicorn_on_the_loopback_serves() -> None:
    with uvicorn("127.0.0.1") as server:
        assert server.call("GET", "/health").status_code == 200
        time.sleep(4 * listening._LOOK_EVERY)
        assert server.process.poll() is None
