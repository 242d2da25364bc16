"""Which user runs the embedded Postgres, and whether that user reaches a path.

Postgres refuses to run as root. Started by root, the server runs as `nobody`, or as the owner of the data
already; started by anybody else, as that user.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.errors import PenstockError


class LocalServerFailed(PenstockError):
    """A local server cannot run; the message is one line that says what and where."""

    slug = "local-server"


@dataclass(frozen=True)
class ServerUser:
    name: str
    uid: int
    gid: int

    def run(
        self, argv: Sequence[str | Path], *, folder: Path | None = None, seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a program as this user, without a shell, input or Postgres's own variables."""
        return subprocess.run(
            [str(part) for part in argv],
            cwd=folder or "/",
            env=_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
            # Ctrl-C is for us to act on: pg_ctl would take it as a wish to end the server it starts.
            start_new_session=True,
            user=self.uid if self._is_other else None,
            group=self.gid if self._is_other else None,
            extra_groups=[] if self._is_other else None,
        )

    def reaches(self, folder: Path) -> bool:
        """Ask the kernel, as this user: modes, ACLs and read-only parents all count."""
        return self.run(["test", "-x", folder]).returncode == 0

    def runs(self, program: Path) -> bool:
        """A program below a closed folder is found by root but not by this user."""
        try:
            return self.run([program, "--version"]).returncode == 0
        except OSError:
            return False

    def own(self, path: Path) -> None:
        """Hand a file, or a folder with all in it, to this user."""
        if not self._is_other:
            return
        os.chown(path, self.uid, self.gid, follow_symlinks=False)
        for parent, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(parent) / name, self.uid, self.gid, follow_symlinks=False)

    def make_folder(self, folder: Path) -> None:
        folder.mkdir(mode=0o700)
        self.own(folder)

    def make_private_folder(self) -> Path:
        """A new folder outside the project, for a project that this user cannot reach."""
        for parent in (Path("/var/lib"), Path("/var/tmp"), Path(tempfile.gettempdir())):  # noqa: S108
            if os.access(parent, os.W_OK) and self.reaches(parent):
                folder = Path(tempfile.mkdtemp(prefix="penstock-", dir=parent))
                self.own(folder)
                return folder
        raise LocalServerFailed(f"found no folder that the user {self.name} can reach, for Postgres's data")

    @property
    def _is_other(self) -> bool:
        return self.uid != os.getuid()


def server_user(data: Path) -> ServerUser:
    """Decide who runs the server whose data is, or will be, in this folder."""
    owner = data.stat().st_uid if data.exists() else None
    if os.getuid() != 0:
        if owner not in (None, os.getuid()):
            raise LocalServerFailed(
                f"{data} belongs to {_name(owner)}, not to {_name(os.getuid())}:"
                " run as that user or as root, or remove it with `make clean`"
            )
        return _user(pwd.getpwuid(os.getuid())) if _is_known(os.getuid()) else _unnamed()
    if owner:
        return _user(pwd.getpwuid(owner)) if _is_known(owner) else ServerUser(f"uid {owner}", owner, owner)
    try:
        return _user(pwd.getpwnam("nobody"))
    except KeyError:
        raise LocalServerFailed(
            "Postgres refuses to run as root and there is no user `nobody`: run as an ordinary user,"
            " or set DATABASE_URL"
        ) from None


def copy_tree(source: Path, target: Path, user: ServerUser) -> None:
    """Copy a folder for this user; `target` appears only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(source, partial, symlinks=True)
    user.own(partial)
    partial.rename(target)


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**inherited, "LC_ALL": "C"}


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _name(uid: int | None) -> str:
    return pwd.getpwuid(uid).pw_name if uid is not None and _is_known(uid) else f"uid {uid}"


def _user(entry: pwd.struct_passwd) -> ServerUser:
    return ServerUser(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _unnamed() -> ServerUser:
    """Containers run under numbers that /etc/passwd does not know."""
    return ServerUser(f"uid {os.getuid()}", os.getuid(), os.getgid())
