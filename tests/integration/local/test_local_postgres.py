"""The embedded Postgres survives what happens to programs on a laptop."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from penstock.local.postgres import EmbeddedPostgres
from penstock.local.postmaster import living_postmaster, processes
from penstock.local.server_user import LocalServerFailed
from penstock.local.testing import CARELESS, scratch_folder
from tests.interpreters import python_of
from tests.waiting import PATIENCE_SECONDS

PROJECT = Path(__file__).parents[3]


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="penstock-cluster-", dir=scratch_folder()))
    folder.chmod(0o755)
    yield folder / "postgres"
    EmbeddedPostgres(folder / "postgres").remove()
    shutil.rmtree(folder)


def cluster_in(folder: Path, lines: list[str] | None = None) -> EmbeddedPostgres:
    said = [] if lines is None else lines
    return EmbeddedPostgres(folder, settings=CARELESS, say=said.append)


def ask(url: str, query: str) -> object:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(query).fetchone()
        return row[0] if row else None


def pid_of(cluster: EmbeddedPostgres) -> int:
    postmaster = living_postmaster(cluster.data)
    assert postmaster is not None
    return postmaster.pid


def kill_hard(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_started_server_listens_on_loopback_only_with_logical_wal_and_utf8(folder: Path) -> None:
    url = cluster_in(folder).start()
    assert ask(url, "show listen_addresses") == "127.0.0.1"
    assert ask(url, "show unix_socket_directories") == ""
    assert ask(url, "show wal_level") == "logical"
    assert ask(url, "show server_encoding") == "UTF8"
    assert ask(url, "select current_database()::text") == "penstock"
    assert ask(url, "select lower('ÄÉ') = 'äé'") is True
    assert ask(url, "select rolpassword like 'SCRAM-SHA-256$%' from pg_authid where rolname = current_user")


def test_the_normal_run_keeps_fsync_on(folder: Path) -> None:
    assert ask(EmbeddedPostgres(folder).start(), "show fsync") == "on"


def test_a_second_start_reuses_the_running_server(folder: Path) -> None:
    first = cluster_in(folder)
    url = first.start()
    pid = pid_of(first)
    second = cluster_in(folder)
    assert second.start() == url
    assert pid_of(second) == pid


def test_two_starts_at_once_make_one_server(folder: Path) -> None:
    urls: list[str] = []
    threads = [threading.Thread(target=lambda: urls.append(cluster_in(folder).start())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(urls) == 2
    assert urls[0] == urls[1]


def test_data_and_port_outlive_a_stop(folder: Path) -> None:
    cluster = cluster_in(folder)
    url = cluster.start()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table kept as select 7 as n")
    cluster.stop()
    assert cluster.running_dsn() is None
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    assert cluster.start() == url
    assert cluster.running_dsn() == url
    assert ask(url, "select n from kept") == 7


def test_stopping_twice_or_before_a_start_is_fine(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.stop()
    cluster.start()
    cluster.stop()
    cluster.stop()
    assert living_postmaster(cluster.data) is None


def test_stop_does_not_wait_for_an_open_session(folder: Path) -> None:
    cluster = cluster_in(folder)
    with psycopg.connect(cluster.start()) as connection:
        connection.execute("select 1")
        cluster.stop()
        assert living_postmaster(cluster.data) is None
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()


def test_a_killed_server_starts_again_with_its_committed_data(folder: Path) -> None:
    cluster = EmbeddedPostgres(folder)
    with psycopg.connect(cluster.start(), autocommit=True) as connection:
        connection.execute("create table kept as select 7 as n")
    for process in processes(cluster.data):
        kill_hard(process.pid)
    assert ask(cluster.start(), "select n from kept") == 7


def test_a_busy_backend_that_outlived_its_postmaster_is_ended(folder: Path) -> None:
    cluster = cluster_in(folder)
    endless = psycopg.connect(cluster.start())
    backend = endless.info.backend_pid
    thread = threading.Thread(target=_run_until_broken, args=(endless,))
    thread.start()
    time.sleep(0.3)
    kill_hard(pid_of(cluster))
    assert psutil.pid_exists(backend)
    url = cluster.start()
    thread.join(10)
    assert not thread.is_alive()
    assert ask(url, "select 1") == 1


def _run_until_broken(connection: psycopg.Connection) -> None:
    # A loop without a statement that waits never looks for its parent.
    with pytest.raises(psycopg.OperationalError):
        connection.execute("do $$ declare n bigint := 0; begin loop n := n + 1; end loop; end $$")
    connection.close()


def test_a_stale_pid_file_with_the_number_of_another_program_is_no_obstacle(folder: Path) -> None:
    cluster = cluster_in(folder)
    url = cluster.start()
    text = (cluster.data / "postmaster.pid").read_text()
    cluster.stop()
    _, _, rest = text.partition("\n")
    # Of the server's own user, which is the case that Postgres takes for a living server.
    owner = cluster.data.stat().st_uid if os.getuid() == 0 else None
    with subprocess.Popen(["sleep", "60"], user=owner) as other:
        try:
            (cluster.data / "postmaster.pid").write_text(f"{other.pid}\n{rest}")
            assert cluster.running_dsn() is None
            assert cluster.start() == url
            assert ask(url, "select 1") == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_a_half_made_cluster_is_made_again(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.start()
    cluster.stop()
    cluster.data.rename(cluster.data.with_name("data.partial"))
    (cluster.home / "data.partial" / "PG_VERSION").unlink()
    assert ask(cluster.start(), "select 1") == 1


def test_a_busy_port_is_exchanged_with_a_clear_line(folder: Path) -> None:
    lines: list[str] = []
    cluster = cluster_in(folder, lines)
    cluster.start()
    cluster.stop()
    port = int((folder / "port").read_text())
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        url = cluster.start()
    assert f":{port}/" not in url
    assert ask(url, "select 1") == 1
    assert len(lines) == 1
    assert f"port {port}" in lines[0]
    assert (folder / "port").read_text().strip() in lines[0]


def test_the_password_is_private_and_shows_in_no_repr_and_no_log(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.start()
    password = (folder / "password").read_text().strip()
    assert len(password) >= 24
    assert (folder / "password").stat().st_mode & 0o777 == 0o600
    assert cluster.home.stat().st_mode & 0o777 == 0o700
    assert password not in repr(cluster)
    assert password not in cluster.log.read_text()
    assert not list(cluster.home.glob("password*"))


def test_a_wrong_password_is_refused(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.start()
    (folder / "password").write_text("wrong\n")
    with pytest.raises(LocalServerFailed, match="password authentication failed"):
        cluster.start()


def test_data_of_another_major_version_is_named(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.start()
    cluster.stop()
    (cluster.data / "PG_VERSION").write_text("15\n")
    with pytest.raises(LocalServerFailed, match="made by Postgres 15, this is 18"):
        cluster.start()


def test_a_damaged_setting_is_one_line_that_names_the_log(folder: Path) -> None:
    cluster = EmbeddedPostgres(folder, settings={"shared_buffers": "plenty"})
    with pytest.raises(LocalServerFailed) as caught:
        cluster.start()
    message = str(caught.value)
    assert "invalid value for parameter" in message
    assert str(cluster.log.resolve()) in message
    assert "\n" not in message


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LocalServerFailed, match="Not a directory") as caught:
        EmbeddedPostgres(tmp_path / "file" / "postgres").start()
    assert "\n" not in str(caught.value)


as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become others")


@as_root
def test_root_keeps_the_data_with_nobody(folder: Path) -> None:
    cluster = cluster_in(folder)
    cluster.start()
    assert psutil.Process(pid_of(cluster)).username() == "nobody"
    assert cluster.data.stat().st_uid == pwd.getpwnam("nobody").pw_uid
    assert (folder / "password").stat().st_uid == 0


@as_root
def test_a_project_that_nobody_can_reach_keeps_its_data_in_a_private_folder_outside(folder: Path) -> None:
    folder.parent.chmod(0o700)
    cluster = cluster_in(folder)
    assert ask(cluster.start(), "select 1") == 1
    outside = cluster.home.resolve()
    assert folder not in outside.parents
    assert outside.stat().st_mode & 0o777 == 0o700
    cluster.stop()
    assert ask(cluster_in(folder).start(), "select 1") == 1
    cluster.remove()
    assert not outside.exists()
    assert not folder.exists()


@as_root
def test_programs_that_nobody_can_run_are_copied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from penstock.local import postgres

    closed = folder.parent / "closed"
    package = postgres.installation().parent
    shutil.copytree(package / "pginstall18", closed / package.name / "pginstall18")
    shutil.copytree(f"{package}.libs", closed / f"{package.name}.libs")
    closed.chmod(0o700)
    monkeypatch.setattr(postgres, "installation", lambda: closed / package.name / "pginstall18")
    cluster = cluster_in(folder)
    assert ask(cluster.start(), "select 1") == 1
    assert psutil.Process(pid_of(cluster)).exe().startswith(str(cluster.home.resolve()))


@as_root
def test_an_ordinary_user_runs_a_cluster_and_root_goes_on_as_that_user(folder: Path) -> None:
    owner = pwd.getpwnam("games")
    os.chown(folder.parent, owner.pw_uid, owner.pw_gid)
    result = _start_as(owner, folder)
    assert result.returncode == 0, result.stderr
    cluster = cluster_in(folder)
    assert psutil.Process(pid_of(cluster)).username() == "games"
    cluster.stop()
    assert ask(cluster.start(), "select 1") == 1
    assert psutil.Process(pid_of(cluster)).username() == "games"


@as_root
def test_an_ordinary_user_is_told_whose_data_it_is(folder: Path) -> None:
    cluster_in(folder).start()
    result = _start_as(pwd.getpwnam("games"), folder)
    assert result.returncode == 1
    assert result.stderr.strip().endswith(
        "home belongs to nobody, not to games: run as that user or as root, or remove it with `make clean`"
    )


def _start_as(user: pwd.struct_passwd, folder: Path) -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; from pathlib import Path; from penstock.local.postgres import EmbeddedPostgres\n"
        "from penstock.local.server_user import LocalServerFailed\n"
        f"try: EmbeddedPostgres(Path({str(folder)!r})).start()\n"
        "except LocalServerFailed as error: sys.exit(str(error))\n"
    )
    python = python_of(user)
    return subprocess.run(
        [python, "-c", program],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        cwd="/",
        env={"PYTHONPATH": os.pathsep.join([str(PROJECT), *(path for path in sys.path if path)])},
        capture_output=True,
        text=True,
        timeout=60,
    )
