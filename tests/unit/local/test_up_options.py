"""What `penstock up` decides before it starts anything."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from penstock.errors import PenstockError
from penstock.local import up_options as module
from penstock.local.up_options import up_options
from tests.ports import free_port


@pytest.fixture(autouse=True)
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_SECONDS", 0.2)
    monkeypatch.setattr(module, "DEFAULT_INNGEST", f"http://127.0.0.1:{free_port()}")


@pytest.fixture
def server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_without_inngest_dev_our_stand_in_is_used(value: str) -> None:
    wanted = up_options({"PORT": str(free_port()), "INNGEST_DEV": value})
    assert wanted.inngest.is_ours
    assert wanted.inngest.url == module.DEFAULT_INNGEST
    assert wanted.sample


def test_a_server_that_answers_is_used_whatever_it_answers(server: str) -> None:
    wanted = up_options({"PORT": str(free_port()), "INNGEST_DEV": server + "/"})
    assert wanted.inngest == module.Inngest(server, is_ours=False)


def test_where_nothing_answers_on_loopback_our_stand_in_takes_the_place() -> None:
    url = f"http://localhost:{free_port()}"
    wanted = up_options({"PORT": str(free_port()), "INNGEST_DEV": url})
    assert wanted.inngest == module.Inngest(url, is_ours=True)


def test_inngest_dev_1_means_the_usual_address() -> None:
    wanted = up_options({"PORT": str(free_port()), "INNGEST_DEV": "1"})
    assert wanted.inngest == module.Inngest(module.DEFAULT_INNGEST, is_ours=True)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"PORT": "x"}, "PORT is 'x', not a whole number from 1 to 65535"),
        ({"PORT": "0"}, "PORT is '0', not a whole number from 1 to 65535"),
        ({"PORT": "65536"}, "PORT is '65536', not a whole number from 1 to 65535"),
        ({"SAMPLE": "yes"}, "SAMPLE is 'yes', not 0 or 1"),
        ({"INNGEST_DEV": "here"}, "INNGEST_DEV is 'here'"),
        ({"INNGEST_DEV": "http://127.0.0.1:999999"}, "INNGEST_DEV is 'http://127.0.0.1:999999'"),
        ({"INNGEST_DEV": "http://inngest.invalid:8288"}, "INNGEST_DEV: no Inngest server answers at"),
    ],
)
def test_a_wrong_variable_is_named(environment: dict[str, str], message: str) -> None:
    with pytest.raises(PenstockError) as caught:
        up_options({"PORT": str(free_port()), **environment})
    assert str(caught.value).startswith(message)


def test_a_taken_port_is_named_with_the_remedy(server: str) -> None:
    port = server.rpartition(":")[2]
    with pytest.raises(PenstockError, match=f"port {port} is taken by another program; free it, or set PORT"):
        up_options({"PORT": port})


def test_something_else_at_the_usual_address_is_named(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEFAULT_INNGEST", server)
    with pytest.raises(PenstockError, match=f"or set INNGEST_DEV={server} to use it"):
        up_options({"PORT": str(free_port())})


def test_api_and_stand_in_cannot_share_a_port() -> None:
    port = free_port()
    with pytest.raises(PenstockError, match=f"PORT is {port}, where the Inngest stand-in listens"):
        up_options({"PORT": str(port), "INNGEST_DEV": f"http://127.0.0.1:{port}"})
