"""`penstock up` in a copy of the project: ready, again, after Ctrl-C, after kill -9, and when it cannot run.

The tests use one copy in turn, so that later ones find the data of earlier ones, as a user's next run does.
"""

import os
import pwd
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import psycopg
import pytest

from penstock.local.postgres import EmbeddedPostgres
from tests import throwaway
from tests.e2e.checkout import PROJECT, Up, children_of, copy_project, left_over, stop_all, wait_until
from tests.e2e.dev_server import REFUSED, dev_server
from tests.interpreters import python_of
from tests.ports import free_port
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    outer = Path(tempfile.mkdtemp(prefix="penstock-up-"))
    outer.chmod(0o755)
    folder = copy_project(outer / "penstock")
    yield folder
    EmbeddedPostgres(folder / ".penstock" / "postgres").remove()
    shutil.rmtree(outer)


@pytest.fixture(autouse=True)
def nothing_is_left(folder: Path) -> Iterator[None]:
    yield
    stop_all()
    for pid in [] if not (folder / ".penstock" / "lock").exists() else _holders(folder):
        psutil.Process(pid).kill()
    wait_until(lambda: not [line for line in left_over(folder) if "postgres" not in line], PATIENCE_SECONDS)


def _holders(folder: Path) -> list[int]:
    text = (folder / ".penstock" / "lock").read_text().strip()
    alive = text.isdigit() and psutil.pid_exists(int(text))
    return [int(text)] if alive and psutil.Process(int(text)).cwd() == str(folder) else []


def one_line(up: Up) -> str:
    """What a run that cannot start says: exactly one line, exit code 1, and nothing left running."""
    assert up.ended() == 1, up.said
    assert up.said.count("\n") == 1, up.said
    assert left_over(up.folder) == []
    return up.said.strip()


def test_a_first_run_has_the_figures_of_the_sample_and_ctrl_c_stops_all(folder: Path) -> None:
    up = Up(folder).ready()
    [month] = up.get("/v1/views/monthly_revenue")["rows"]
    assert (month["month"], month["order_count"], month["revenue"]) == ("2010-12-01", 1559, "823746.140")
    assert (month["avg_order_value"], month["unique_customers"]) == ("528.381103", 885)
    days = up.get("/v1/views/daily_analytics?limit=100")["rows"]
    assert sum(day["order_count"] for day in days) == 1559
    assert "sample     42,481 lines" in up.said
    assert up.said.rstrip().splitlines()[-1].startswith(f"Penstock is ready: http://127.0.0.1:{up.port} ")
    assert "<html" in up.get("/")
    assert up.signal(signal.SIGINT) == 0
    assert left_over(folder) == []


@pytest.mark.parametrize("line", ["Postgres ", "Inngest "])
def test_ctrl_c_on_the_way_up_leaves_nothing_running(folder: Path, line: str) -> None:
    up = Up(folder)
    wait_until(lambda: line in up.said, PATIENCE_SECONDS)
    assert up.signal(signal.SIGINT) == 0
    assert up.said.endswith("stopping\n")
    # one that was started in the very moment leaves when it sees that we are gone
    wait_until(lambda: left_over(folder) == [], PATIENCE_SECONDS)


def test_a_second_run_loads_nothing_twice(folder: Path) -> None:
    up = Up(folder).ready()
    before = len(up.get("/v1/imports")["imports"])
    assert up.signal(signal.SIGTERM) == 0
    again = Up(folder).ready()
    assert len(again.get("/v1/imports")["imports"]) == before == 1
    assert again.get("/v1/views/monthly_revenue")["rows"][0]["order_count"] == 1559
    # the import's own request and the sample's, the first time; one of them may have been left over from there
    assert again.get("/v1/runs?pipeline=run_daily_etl&limit=100")["runs"][2:] == []
    assert again.signal() == 0


def test_after_kill_9_the_children_leave_and_a_new_run_starts(folder: Path) -> None:
    up = Up(folder, {"SAMPLE": 0}).ready()
    assert months(up) == [1559]
    children = children_of(folder)
    up.stop_hard()
    again = Up(folder, {"SAMPLE": 0, "PORT": up.port}).ready()
    wait_until(lambda: not [pid for pid in children if psutil.pid_exists(pid)], PATIENCE_SECONDS)
    assert months(again) == [1559]
    assert again.signal() == 0
    assert left_over(folder) == []


def months(up: Up) -> list[int]:
    return [row["order_count"] for row in up.get("/v1/views/monthly_revenue")["rows"]]


def test_a_program_that_dies_is_named_with_its_log_and_ends_all(folder: Path) -> None:
    up = Up(folder, {"SAMPLE": 0}).ready()
    _, api = children_of(folder)
    os.kill(api, signal.SIGKILL)
    assert up.ended() == 1
    assert "penstock: the api ended with status -9" in up.said
    assert ".penstock/logs/api.log" in up.said
    assert left_over(folder) == []


def test_a_postgres_that_dies_is_named_and_ends_all(folder: Path) -> None:
    up = Up(folder, {"SAMPLE": 0}).ready()
    pid = int((folder / ".penstock/postgres/home/data/postmaster.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    assert up.ended() == 1
    assert "penstock: Postgres ended" in up.said
    wait_until(lambda: left_over(folder) == [], PATIENCE_SECONDS)


def test_a_second_run_beside_the_first_is_refused(folder: Path) -> None:
    up = Up(folder, {"SAMPLE": 0}).ready()
    said = up.said
    second = Up(folder, {"SAMPLE": 0})
    assert second.ended() == 1
    assert second.said == f"penstock: it runs already, as process {up.process.pid}\n"
    assert up.process.poll() is None
    assert "ready" in said
    assert up.signal() == 0


def test_a_busy_port_is_one_line(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = one_line(Up(folder, {"PORT": port}))
    assert line == f"penstock: port {port} is taken by another program; free it, or set PORT to another one"


def test_an_unreachable_database_is_one_line_without_its_password(folder: Path) -> None:
    line = one_line(Up(folder, {"DATABASE_URL": f"postgresql://someone:hidden@127.0.0.1:{free_port()}/none"}))
    assert line.startswith("penstock: Postgres cannot be reached")
    assert "hidden" not in line


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PENSTOCK_TIMEZONE", "Mars/Olympus", "PENSTOCK_TIMEZONE is 'Mars/Olympus'"),
        ("DATABASE_URL", "mysql://127.0.0.1/x", "DATABASE_URL does not start with postgresql://"),
        ("INNGEST_DEV", "nowhere", "INNGEST_DEV is 'nowhere'"),
        ("ETL_OVERLAP_DAYS", "-1", "ETL_OVERLAP_DAYS is '-1'"),
    ],
)
def test_a_wrong_variable_is_one_line(folder: Path, name: str, value: str, message: str) -> None:
    assert one_line(Up(folder, {name: value})).startswith(f"penstock: {message}")


def test_a_dev_server_that_refuses_the_app_ends_it_with_the_reason(folder: Path) -> None:
    with dev_server(refusal=REFUSED) as server:
        up = Up(folder, {"SAMPLE": 0, "INNGEST_DEV": server.url})
        assert up.ended() == 1
    assert up.said.splitlines()[-1].startswith(f"penstock: Inngest at {server.url} did not take the app: ")
    assert "At least one function is invalid" in up.said
    assert left_over(folder) == []


def test_a_dev_server_that_was_restarted_gets_the_app_again(folder: Path) -> None:
    port = free_port()
    with dev_server(port) as server:
        up = Up(folder, {"SAMPLE": 0, "INNGEST_DEV": server.url}).ready()
        mine = {f"http://127.0.0.1:{up.port}/api/inngest"}
        assert set(server.apps) == mine
        (functions,) = server.apps.values()
        assert "*/1 * * * *" in [trigger.get("cron") for each in functions for trigger in each["triggers"]]
        assert "penstock/sweep.requested" in server.taken
    wait_until(lambda: "Inngest    is away" in up.said, PATIENCE_SECONDS)
    with dev_server(port) as restarted:
        wait_until(lambda: set(restarted.apps) == mine, PATIENCE_SECONDS)
        wait_until(lambda: f"Inngest    {restarted.url} has the app again" in up.said, PATIENCE_SECONDS)
        assert "penstock/sweep.requested" in restarted.taken
    assert up.signal() == 0
    assert left_over(folder) == []


def test_a_configured_proxy_does_not_stand_between_our_own_servers(folder: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    proxies: dict[str, str | int] = {"HTTP_PROXY": nowhere, "http_proxy": nowhere, "ALL_PROXY": nowhere, "no_proxy": ""}
    up = Up(folder, {"SAMPLE": 0, **proxies}).ready()
    mug = {"product_id": "MUG", "quantity": 1, "unit_price": "7.50"}
    order = {"order_id": "past-proxies", "currency": "EUR", "items": [mug]}
    placed = up.post("/v1/orders", order)
    assert up.get(f"/v1/orders/past-proxies?wait_for={placed['position']}")["status"] == "placed"
    assert up.signal() == 0


def test_a_given_database_is_migrated_and_used_instead_of_an_embedded_one(folder: Path) -> None:
    with throwaway.fresh_database() as url:
        up = Up(folder, {"SAMPLE": 0, "DATABASE_URL": url}).ready()
        assert "Postgres " not in up.said
        assert not [line for line in left_over(folder) if "postgres" in line]
        assert up.get("/v1/views/monthly_revenue")["rows"] == []
        assert up.signal() == 0


def test_a_new_table_and_a_new_listener_hear_of_all_tickets_ever_appended(folder: Path) -> None:
    """What docs/event-store.md shows, on tickets that were there before."""
    own = copy_project(folder.parent / "extended")
    with throwaway.fresh_database() as url:
        given: dict[str, str | int] = {"SAMPLE": 0, "DATABASE_URL": url}
        up = Up(own, given).ready()
        event = {"event_type": "TicketOpened", "payload": {"subject": "Late parcel"}}
        appended = up.post("/v1/streams/ticket/T-1/events", {"expected_version": "any", "events": [event]})
        wait_until(lambda: told_up_to(url) == appended["position"], 60)
        assert up.signal() == 0
        table, projection, listener = (shown(kind) for kind in EXAMPLES)
        (own / "shop/tickets.py").write_text(projection)
        projecting = (own / "functions/project_customers.py").read_text().replace("customers", "tickets")
        (own / "functions/project_tickets.py").write_text(f"import shop.tickets\n{projecting}")
        (own / "functions/answer_ticket.py").write_text(listener)
        with (own / "functions/__init__.py").open("a") as file:
            file.write(MORE_FUNCTIONS)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(table.encode())
            up = Up(own, given).ready()
            query = "select subject from public.tickets"
            wait_until(lambda: connection.execute(query).fetchall() == [("Late parcel",)], 60)
        wait_until(lambda: "dear customer, about Late parcel" in answers(up, appended["events"][0]["id"]), 60)
        assert up.signal() == 0
    shutil.rmtree(own)


EXAMPLES = ("sql subscription", "python subscription", "python function")
MORE_FUNCTIONS = """
from functions.answer_ticket import answer_ticket
from functions.project_tickets import project_tickets

FUNCTIONS = (*FUNCTIONS, project_tickets, answer_ticket)
"""


def shown(kind: str) -> str:
    return (
        (PROJECT / "docs/event-store.md").read_text(encoding="utf-8").partition(f"```{kind}\n")[2].partition("```\n")[0]
    )


def told_up_to(url: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute("select position from ops.subscriptions where subscription = 'inngest'").fetchone()
    return row and row[0]


def answers(up: Up, event_id: str) -> str:
    """The results of the runs that the stand-in made for an event, as text."""
    runs = httpx.get(f"{up.inngest}/v1/events/{event_id}/runs", trust_env=False).json()["data"]
    return str([run["output"] for run in runs])


def test_the_stand_in_starts_empty_with_another_database(folder: Path) -> None:
    with throwaway.fresh_database() as first, throwaway.fresh_database() as second:
        up = Up(folder, {"SAMPLE": 0, "DATABASE_URL": first}).ready()
        event = httpx.post(f"{up.inngest}/e/key", json={"name": "shop/asked"}, trust_env=False).json()["ids"][0]
        assert event in events_of(up)
        assert up.signal() == 0
        other = Up(folder, {"SAMPLE": 0, "DATABASE_URL": second}).ready()
        assert event not in events_of(other)
        assert other.signal() == 0
        again = Up(folder, {"SAMPLE": 0, "DATABASE_URL": first}).ready()
        assert event in events_of(again)
        assert again.signal() == 0


def events_of(up: Up) -> str:
    return httpx.get(up.inngest, trust_env=False).text


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become others")
def test_an_ordinary_user_gets_the_same(folder: Path) -> None:
    user = pwd.getpwnam("games")
    own = copy_project(folder.parent / "own")
    for path in (own.parent, own, *own.rglob("*")):
        os.chown(path, user.pw_uid, user.pw_gid)
    command = [python_of(user), "-m", "penstock.cli", "up"]
    packages = os.pathsep.join(entry for entry in sys.path if "site-packages" in entry)
    settings: dict[str, str | int] = {"SAMPLE": 0, "PYTHONPATH": packages, "HOME": str(own)}
    up = Up(own, settings, command=command, user=user.pw_uid).ready()
    data = own / ".penstock" / "postgres" / "home" / "data"
    assert data.stat().st_uid == user.pw_uid
    assert up.signal() == 0
    assert left_over(own) == []
