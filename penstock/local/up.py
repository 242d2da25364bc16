"""`penstock up`: everything on one machine, until Ctrl-C.

Starts Postgres (unless DATABASE_URL names one), applies the migrations, starts the Inngest stand-in (unless one
answers at INNGEST_DEV) and the API, registers the API with Inngest, loads the sample, and prints the address of
the dashboard when its figures are there. One thing that fails ends all of it, with one line that says which.
"""

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx
import psycopg

from penstock.domain import Local
from penstock.errors import SettingsError
from penstock.local import PROJECT, STATE
from penstock.local.children import Children, end_former
from penstock.local.loopback_no_proxy import loopback_no_proxy
from penstock.local.postgres import EmbeddedPostgres
from penstock.local.server_user import LocalServerFailed
from penstock.local.up_options import UpOptions, up_options
from penstock.postgres import migrations, pool
from penstock.project import Project
from penstock.relay.event_names import SWEEP_REQUESTED
from penstock.settings import Settings

READY_SECONDS = 60
WATCH_SECONDS = 0.5
REGISTER_SECONDS = 10

Say = Callable[[str], None]


class Stopped(BaseException):
    """Somebody asked us to stop. No error: nothing may swallow it on its way up."""


class Signals:
    """The first signal stops us in order; further ones are ignored, since stopping is bounded in time."""

    ALL = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self) -> None:
        self._is_held = False
        self._came = False

    def receive(self, number: int, frame: FrameType | None) -> None:
        for one in self.ALL:
            signal.signal(one, signal.SIG_IGN)
        self._came = True
        if not self._is_held:
            raise Stopped

    @contextmanager
    def installed(self) -> Iterator[None]:
        former = {one: signal.signal(one, self.receive) for one in self.ALL}
        try:
            yield
        finally:
            for one, handler in former.items():
                signal.signal(one, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let something be finished that could not be undone while half done."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._came:
            raise Stopped


@dataclass
class Run:
    """What one run of `penstock up` holds on to."""

    environment: Mapping[str, str]
    project: Project
    wanted: UpOptions
    children: Children
    say: Say
    postgres: EmbeddedPostgres | None = None

    def check(self) -> None:
        """Raise if a part has ended by itself."""
        self.children.check()
        if self.postgres:
            self.postgres.check()


def up(environment: Mapping[str, str], project: Project, say: Say = print) -> None:
    """Run until asked to stop; raise a `PenstockError` of one line when something cannot run."""
    signals = Signals()
    with signals.installed(), ExitStack() as stack:
        try:
            stack.enter_context(_only_one())
            end_former(STATE / "children")
            _check(environment)
            run = Run(
                environment,
                project,
                up_options(environment),
                Children(STATE / "logs", STATE / "children", PROJECT),
                say,
            )
            settings = _database(run, signals, stack)
            stack.callback(run.children.stop)
            _start(run, settings)
            stack.enter_context(_recorded(run.wanted))
            if run.wanted.sample:
                local = Local(run.wanted.address, run.wanted.inngest.url, run.check, say)
                for load_sample in project.samples:
                    load_sample(local)
            say(f"\nPenstock is ready: {run.wanted.address}   (Ctrl-C stops it)")
            _watch(run)
        except Stopped:
            say("\nstopping")


def _check(environment: Mapping[str, str]) -> None:
    """All that the app will read, before anything starts; the database is not known yet."""
    given = {name: value for name, value in environment.items() if value}
    Settings.from_env({"DATABASE_URL": "postgresql://", **given, "PENSTOCK_ENV": "local"})


def _local(run: Run) -> dict[str, str]:
    return {"PENSTOCK_ENV": "local", "INNGEST_DEV": run.wanted.inngest.url, **loopback_no_proxy(run.environment)}


def _database(run: Run, signals: Signals, stack: ExitStack) -> Settings:
    url = run.environment.get("DATABASE_URL")
    if not url:
        run.postgres = EmbeddedPostgres(say=run.say)
        stack.callback(run.postgres.stop)
        with signals.held():
            url = run.postgres.start()
        port = psycopg.conninfo.conninfo_to_dict(url)["port"]
        run.say(f"Postgres   127.0.0.1:{port}, data in {_shown(run.postgres.folder)}")
    settings = Settings.from_env({**run.environment, **_local(run), "DATABASE_URL": url})
    _migrate(settings, run.project.migrations, run.say)
    return settings


def _migrate(settings: Settings, folder: Path | None, say: Say) -> None:
    try:
        with pool.connect(settings.database_url) as connection:
            applied = migrations.migrate(
                connection, timezone=settings.timezone, earliest_day=settings.earliest_day, folder=folder
            )
    except psycopg.ProgrammingError as error:
        # A message about the URL may quote a part of it, which may be the password.
        if error.sqlstate is None:
            raise SettingsError("DATABASE_URL is not a connection URL that Postgres understands") from None
        raise
    if applied:
        say(f"migrations {len(applied)} applied")


def _start(run: Run, settings: Settings) -> None:
    wanted, children = run.wanted, run.children
    environment = {
        **run.environment,
        **_local(run),
        "DATABASE_URL": settings.database_url,
        "PYTHONUNBUFFERED": "1",
        # figures as fresh as can be: on one machine a run costs nothing
        "PENSTOCK_SWEEP_MINUTES": run.environment.get("PENSTOCK_SWEEP_MINUTES") or "1",
        # where the app finds itself, to register again with a server that has forgotten it
        "INNGEST_SERVE_ORIGIN": run.environment.get("INNGEST_SERVE_ORIGIN") or wanted.address,
    }
    if wanted.inngest.is_ours:
        arguments = ["--port", str(wanted.inngest.port), "--database", str(_memory(settings))]
        children.start("inngest", "penstock.local.inngest_server", arguments, environment)
    arguments = [run.project.app, "--host", "127.0.0.1", "--port", str(wanted.port)]
    children.start("api", "uvicorn", [*arguments, "--timeout-graceful-shutdown", "3"], environment)
    if wanted.inngest.is_ours:
        _await(run, wanted.inngest.url, "inngest")
    run.say(f"Inngest    {wanted.inngest.url}{', our stand-in' if wanted.inngest.is_ours else ''}")
    _await(run, f"{wanted.address}/health", "api")
    _register(wanted)
    _publish(wanted, {})
    run.say(f"API        {wanted.address}/docs, logs in {_shown(STATE / 'logs')}")


def _memory(settings: Settings) -> Path:
    """The stand-in's file. Each database has one of its own: runs and timers of another would not fit its events."""
    with pool.connect(settings.database_url) as connection:
        row = connection.execute(_IDENTITY).fetchone()
    assert row is not None
    return STATE / f"inngest-{row[0]}.db"


_IDENTITY = """
select system_identifier || '-' || oid from pg_control_system(), pg_database where datname = current_database()
"""


def _await(run: Run, url: str, name: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        run.check()
        with suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5, trust_env=False).status_code < 500:
                return
        time.sleep(0.1)
    raise LocalServerFailed(f"the {name} does not answer at {url}: see {run.children.log(name)}")


def _register(wanted: UpOptions) -> bool:
    """Have Inngest take the app; False if it had it already, just so."""
    try:
        answer = httpx.put(f"{wanted.address}/api/inngest", timeout=30, trust_env=False)
    except httpx.HTTPError as error:
        raise LocalServerFailed(f"the app could not register with Inngest: {error}") from error
    if not _is_taken(answer):
        raise LocalServerFailed(
            f"Inngest at {wanted.inngest.url} did not take the app: {answer.status_code} {answer.text[:500]}"
        )
    return bool(answer.json().get("modified"))


def _publish(wanted: UpOptions, data: Mapping[str, object]) -> None:
    """Have all readers look at the store now: for a new projection or a new listener everything in it is new."""
    event = {"name": SWEEP_REQUESTED, "data": data}
    try:
        answer = httpx.post(f"{wanted.inngest.url}/e/penstock-up", json=[event], timeout=30, trust_env=False)
    except httpx.HTTPError as error:
        raise LocalServerFailed(f"Inngest at {wanted.inngest.url} cannot be reached: {error}") from error
    if not answer.is_success:
        raise LocalServerFailed(f"Inngest did not take the event: {answer.status_code} {answer.text[:500]}")


def _is_taken(answer: httpx.Response) -> bool:
    """The SDK answers 200 also when Inngest refused: what Inngest said is in the body."""
    try:
        said = answer.json()
    except ValueError:
        return False
    return answer.status_code == 200 and isinstance(said, dict) and said.get("ok") is True


def _watch(run: Run) -> None:
    is_taken, again = True, time.monotonic() + REGISTER_SECONDS
    while True:
        run.check()
        if not run.wanted.inngest.is_ours and time.monotonic() > again:
            is_taken, again = _register_again(run, is_taken), time.monotonic() + REGISTER_SECONDS
        time.sleep(WATCH_SECONDS)


def _register_again(run: Run, was_taken: bool) -> bool:
    """A development server forgets its apps when it restarts, and looks for them at a few usual ports only.

    With the apps it forgets what it has taken: the relay publishes it again.
    """
    try:
        if _register(run.wanted):
            _publish(run.wanted, {"forgotten": True})
    except LocalServerFailed as error:
        if was_taken:
            run.say(f"Inngest    is away, and is tried again every {REGISTER_SECONDS} s: {error}")
        return False
    if not was_taken:
        run.say(f"Inngest    {run.wanted.inngest.url} has the app again")
    return True


@contextmanager
def _recorded(wanted: UpOptions) -> Iterator[None]:
    """For the other commands, which want to find what runs here."""
    record = STATE / "up.json"
    record.write_text(json.dumps({"address": wanted.address, "inngest": wanted.inngest.url}))
    try:
        yield
    finally:
        record.unlink(missing_ok=True)


@contextmanager
def _only_one() -> Iterator[None]:
    """One run a checkout: the kernel releases the lock however the process ends."""
    try:
        STATE.mkdir(exist_ok=True)
        (STATE / ".gitignore").write_text("*\n")
        with (STATE / "lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.seek(0)
                raise LocalServerFailed(f"it runs already, as process {lock.read().strip()}") from None
            lock.truncate(0)
            lock.write(f"{os.getpid()}\n")
            lock.flush()
            yield
    except OSError as error:
        raise LocalServerFailed(f"{STATE}: {error}") from error


def _shown(path: Path) -> str:
    return str(path.relative_to(PROJECT)) if path.is_relative_to(PROJECT) else str(path)
