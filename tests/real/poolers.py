"""Debian's PgBouncer in transaction mode, in front of a cluster: each transaction may run in another session."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.local.server_user import server_user
from tests.ports import free_port
from tests.real.clusters import SUPERUSER, Cluster
from tests.real.toolbox import ToolMissing, require_debian

START_SECONDS = 60
# Few sessions for many clients, and none to rest on: what one client leaves behind, another meets.
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={cluster_port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 500
server_round_robin = 1
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
"""


@contextmanager
def transaction_pooler(cluster: Cluster, sessions: int = 4) -> Iterator[Cluster]:
    """The cluster as its clients see it through the pooler."""
    require_debian(["pgbouncer"])
    user, port = server_user(Path("/nonexistent")), free_port()
    with tempfile.TemporaryDirectory(prefix="penstock-pooler-") as name:
        folder = Path(name)
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(cluster_port=cluster.port, user=SUPERUSER, port=port, sessions=sessions, folder=folder)
        )
        user.own(folder)
        command = ["/usr/sbin/pgbouncer", "--quiet", configuration]
        process = subprocess.Popen(command, user=user.uid, group=user.gid, extra_groups=[], cwd="/")
        try:
            _await(process, port, folder / "log")
            yield Cluster(cluster.major, port)
        finally:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise ToolMissing(f"pgbouncer does not start: {log.read_text() if log.exists() else ''}")
