"""The client and what it serves: built without secrets, by environment alone; what a function listens to is sent."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.inngest import client as client_module

PROJECT = Path(__file__).parents[3]


OWN_FILE = """
import inngest

from penstock.inngest.client import client


@client.create_function(fn_id="greet-customer", trigger=inngest.TriggerEvent(event="event/OrderPlaced"))
def greet_customer(ctx: inngest.ContextSync) -> str:
    return f"Hello {ctx.event.data['payload']['customer_id']}"
"""


def interpreter(code: str, folder: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:Support for class-based", "-c", code],
        cwd=folder or PROJECT,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_a_new_interpreter(code: str, folder: Path | None = None, **env: str) -> str:
    done = interpreter(code, folder, **env)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_relay_sends_what_a_served_function_listens_to() -> None:
    code = f"""{OWN_FILE}
from penstock.http.app import create_app
from penstock.inngest.client import listened_types
create_app(functions=[greet_customer])
print(sorted(listened_types()))"""
    assert in_a_new_interpreter(code, INNGEST_DEV="1") == "['OrderPlaced']"


IMPORT_WITHOUT_NETWORK = """
import sys
def refuse(event, arguments):
    if event.startswith("socket."):
        raise RuntimeError(event)
sys.addaudithook(refuse)
from penstock.inngest.client import client
print(client.is_production, client.event_api_origin.rstrip("/"), client.event_key, bool(client.signing_key))
"""


def test_the_client_is_built_without_secrets_and_network() -> None:
    assert in_a_new_interpreter(IMPORT_WITHOUT_NETWORK) == "True https://inn.gs None True"


def test_a_development_server_is_named_by_environment_alone() -> None:
    given = in_a_new_interpreter(IMPORT_WITHOUT_NETWORK, INNGEST_DEV="http://127.0.0.1:9999")
    assert given == "False http://127.0.0.1:9999 None True"
    assert in_a_new_interpreter(IMPORT_WITHOUT_NETWORK, INNGEST_DEV="1").startswith("False http://127.0.0.1:8288")


def test_a_self_hosted_server_is_named_by_environment_alone() -> None:
    env = {"INNGEST_BASE_URL": "https://inngest.example", "INNGEST_EVENT_KEY": "k", "INNGEST_SIGNING_KEY": "signkey-ab"}
    assert in_a_new_interpreter(IMPORT_WITHOUT_NETWORK, **env) == "True https://inngest.example k True"


SERVE_AND_CALL = """
import asyncio, hashlib, hmac, json, time, warnings
warnings.simplefilter("ignore")
import fastapi, httpx, inngest.fast_api
from penstock.inngest import standard
from penstock.inngest.client import client
app = fastapi.FastAPI()
inngest.fast_api.serve(app, client, standard.FUNCTIONS)
async def call(key):
    now = str(int(time.time()))
    signature = hmac.new(key, b"{}" + now.encode(), hashlib.sha256).hexdigest()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://t") as http:
        headers = {"x-inngest-signature": f"t={now}&s={signature}"}
        url = "/api/inngest?fnId=penstock-sweep&stepId=step"
        return (await http.post(url, content=b"{}", headers=headers)).status_code
print([asyncio.run(call(key)) for key in (b"", b"unset", b"None")])
"""


@pytest.mark.parametrize("empty", ["INNGEST_SIGNING_KEY", "INNGEST_SIGNING_KEY_FALLBACK", None])
def test_without_a_signing_key_the_app_serves_and_refuses_every_call(empty: str | None) -> None:
    """Set but empty is how `.env.example` leaves it: nobody may sign with the empty key."""
    given = in_a_new_interpreter(SERVE_AND_CALL, **({empty: ""} if empty else {}))
    assert given.endswith("[401, 401, 401]")


def test_settings_are_read_at_the_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    marker = object()
    monkeypatch.setattr(client_module, "get_settings", lambda: marker)
    assert client_module.settings() is marker
