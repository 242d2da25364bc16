"""Nothing is published to a development server that does not have the app, however often it is restarted."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from penstock.errors import Unavailable
from penstock.inngest import publishing
from penstock.inngest.publishing import DevServer
from penstock.relay.recently_published import RecentlyPublished
from tests.e2e import dev_server as double
from tests.e2e.dev_server import dev_server
from tests.ports import free_port

APP = "http://127.0.0.1:1/api/inngest"
A, B = ("penstock-a", "event/A"), ("penstock-b", "event/B")
NEEDED = [A, B]


def functions(pairs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [{"id": id, "triggers": [{"event": event}, {"cron": "* * * * *"}]} for id, event in pairs]


class Way:
    """A way to the server at one port; `publish` sends one event of that name."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/e/key"
        self.published = RecentlyPublished()
        self.server = DevServer(lambda: NEEDED, self.published)

    def publish(self, name: str) -> int:
        return self.server.post(self.url, [{"name": name}]).status_code


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Iterator[Way]:
    monkeypatch.delenv("INNGEST_SERVE_ORIGIN", raising=False)
    way = Way(free_port())
    yield way
    way.server.close()


@pytest.fixture
def port(way: Way) -> int:
    return httpx.URL(way.url).port or 0


@pytest.fixture
def never_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "IDLE_SECONDS", 3600.0)


@pytest.mark.parametrize("has", [[], [A], [A, ("other-b", "event/B")], [A, ("penstock-b", "event/former")]])
def test_nothing_is_published_before_the_server_has_every_function(
    way: Way, port: int, has: list[tuple[str, str]]
) -> None:
    with dev_server(port, keeps_connections=True) as server:
        server.register(APP, functions(has))
        with pytest.raises(Unavailable, match="does not have this app"):
            way.publish("early")
        assert (server.taken, server.dropped) == ([], [])
        server.register(APP, functions(NEEDED))
        assert way.publish("late") == 200
        assert server.taken == ["late"]


@pytest.mark.usefixtures("never_idle")
def test_a_live_connection_is_asked_for_once(way: Way, port: int) -> None:
    with dev_server(port, keeps_connections=True) as server:
        server.register(APP, functions(NEEDED))
        for number in range(10):
            way.publish(f"e{number}")
        assert (len(server.taken), server.asked, len(server.connections)) == (10, 1, 1)


def test_after_an_idle_time_it_is_asked_for_again(way: Way, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publishing, "IDLE_SECONDS", 0.0)
    with dev_server(port, keeps_connections=True) as server:
        server.register(APP, functions(NEEDED))
        for number in range(3):
            way.publish(f"e{number}")
        assert (len(server.taken), server.asked) == (3, 3)


@pytest.mark.usefixtures("never_idle")
@pytest.mark.parametrize("keeps_connections", [True, False])
def test_a_restart_between_two_sends_loses_nothing(way: Way, port: int, keeps_connections: bool) -> None:
    """The second server answers 200 to whatever it is sent, and has no app: no error says that it is another one."""
    with dev_server(port, keeps_connections=keeps_connections) as server:
        server.register(APP, functions(NEEDED))
        way.publish("first")
        way.published.note(41)
    with dev_server(port, keeps_connections=keeps_connections) as server:
        with pytest.raises(Unavailable):
            way.publish("second")
        assert way.published.again == 41
        server.register(APP, functions(NEEDED))
        way.publish("second")
        assert "second" in server.taken


@pytest.mark.usefixtures("never_idle")
def test_a_server_that_closes_each_connection_is_asked_around_each_send(way: Way, port: int) -> None:
    with dev_server(port, keeps_connections=False) as server:
        server.register(APP, functions(NEEDED))
        way.publish("e")
        assert set(server.taken) == {"e"}
        server.apps.clear()
        with pytest.raises(Unavailable):
            way.publish("f")


def test_a_failed_connection_has_the_last_minute_told_again(way: Way, port: int) -> None:
    with dev_server(port, keeps_connections=True) as server:
        server.register(APP, functions(NEEDED))
        for position in (7, 3, 9):
            way.publish("e")
            way.published.note(position)
        assert way.published.again is None
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            way.publish("away")
    assert way.published.again == 3


class App:
    """Registers with the server at `port` when it is asked by PUT, as the SDK does."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked = 0

    def register(self, url: str, **options: object) -> httpx.Response:
        self.asked += 1
        body = {"url": url, "functions": functions(NEEDED)}
        return httpx.post(f"http://127.0.0.1:{self.port}/fn/register", json=body)


@pytest.fixture
def app(port: int, monkeypatch: pytest.MonkeyPatch) -> App:
    app = App(port)
    monkeypatch.setenv("INNGEST_SERVE_ORIGIN", "http://127.0.0.1:8000")
    monkeypatch.setattr(publishing.httpx, "put", app.register)
    return app


def test_the_app_registers_itself_where_its_address_is_known(way: Way, port: int, app: App) -> None:
    for _ in range(2):
        with dev_server(port, keeps_connections=True) as server:
            way.publish("e")
            assert list(server.apps) == ["http://127.0.0.1:8000/api/inngest"]
            assert server.taken == ["e"]
    assert app.asked == 2


def test_a_refused_registration_publishes_nothing(way: Way, port: int, app: App) -> None:
    with dev_server(port, double.REFUSED, keeps_connections=True) as server, pytest.raises(Unavailable):
        way.publish("e")
    assert (server.taken, server.dropped, app.asked) == ([], [], 1)


def test_what_was_told_long_before_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    published, now = RecentlyPublished(), time.monotonic()
    for seconds, position in ((0, 1), (30, 2), (70, 3), (90, 4)):
        monkeypatch.setattr(publishing.time, "monotonic", lambda seconds=seconds: now + seconds)
        published.note(position)
    published.lose()
    assert published.again == 2
    published.lose()
    assert published.again == 2


def test_a_loss_during_the_way_back_is_not_forgotten() -> None:
    published = RecentlyPublished()
    published.note(5)
    published.lose()
    published.note(3)
    published.lose()
    published.went_back(5)
    assert published.again == 3
    published.went_back(3)
    assert published.again is None
    published.lose()
    assert published.again is None
