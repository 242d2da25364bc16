"""The built wheel alone: what it carries, and a project of one's own that runs on it, by the letter of README."""

import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from penstock import __version__
from penstock.local.postgres import EmbeddedPostgres
from tests import throwaway
from tests.e2e.checkout import Up, left_over, wait_until
from tests.real.toolbox import PROJECT

SOURCES = (
    "app",
    "functions",
    "penstock",
    "shop",
    "supabase",
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_{kind}(sys.argv[1]))"
INSTALL_SECONDS = 600


@pytest.fixture(scope="module")
def outer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the user of a Postgres started by root reaches, too."""
    folder = tmp_path_factory.mktemp("wheel")
    for path in (folder, folder.parent):
        path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def wheel(outer: Path) -> Path:
    """Built as `python -m build` does it: the sources, from them a source distribution, from that the wheel."""
    source = outer / "source"
    source.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, source / name)
    archive = _build("sdist", source, outer / "dist")
    shutil.unpack_archive(archive, outer / "unpacked", filter="data")
    [unpacked] = (outer / "unpacked").iterdir()
    return _build("wheel", unpacked, outer / "dist")


def _build(kind: str, source: Path, target: Path) -> Path:
    said = demand(source, sys.executable, "-c", BUILD.format(kind=kind), str(target))
    return target / said.splitlines()[-1]


@pytest.fixture(scope="module")
def programs(outer: Path, wheel: Path) -> Path:
    """The `bin` of a virtual environment with nothing but the wheel and its extra local."""
    folder = outer / "venv"
    venv.create(folder, with_pip=True)
    demand(outer, str(folder / "bin" / "pip"), "install", "-q", f"{wheel}[local]", seconds=INSTALL_SECONDS)
    return folder / "bin"


@pytest.fixture(scope="module")
def project(outer: Path, programs: Path) -> Iterator[Path]:
    demand(outer, str(programs / "penstock"), "init", "my-shop")
    folder = outer / "my-shop"
    yield folder
    EmbeddedPostgres(folder / ".penstock" / "postgres").remove()


@pytest.fixture(autouse=True)
def nothing_is_left(project: Path) -> Iterator[None]:
    yield
    wait_until(lambda: left_over(project) == [], 60)


def demand(folder: Path, *arguments: str, seconds: float = 300, **variables: str) -> str:
    """Run a program that must succeed, without this repository on its path; returns what it said."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PENSTOCK_", "PYTEST_", "PYTHONP"))
    }
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**kept, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def extend_block(kind: str) -> str:
    """The one block of that kind in README's section Extend."""
    section = (PROJECT / "README.md").read_text(encoding="utf-8").partition("\n## Extend\n")[2].partition("\n## ")[0]
    [block] = re.findall(rf"^```{re.escape(kind)}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return str(block)


def test_the_wheel_has_the_package_its_sql_the_dashboard_and_no_other_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        carried = {name: archive.read(name) for name in names if re.match(r"penstock/migrations/.*\.sql", name)}
    assert {name.partition("/")[0] for name in names} == {"penstock", f"penstock_events-{__version__}.dist-info"}
    files = sorted((PROJECT / "supabase" / "migrations").glob("*_penstock_*.sql"))
    assert carried == {f"penstock/migrations/{path.name}": path.read_bytes() for path in files}
    wanted = {
        path.relative_to(PROJECT).as_posix()
        for path in (PROJECT / "penstock").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= names
    assert {"penstock/py.typed", "penstock/http/dashboard/index.html", "penstock/local/template/Makefile.tmpl"} <= names


def test_migrate_works_in_an_empty_folder_and_in_a_project(programs: Path, project: Path, tmp_path: Path) -> None:
    penstock, files = str(programs / "penstock"), len(list((PROJECT / "supabase" / "migrations").glob("*_penstock_*")))
    with throwaway.fresh_database() as url:
        assert demand(tmp_path, penstock, "migrate", DATABASE_URL=url).count("applied ") == files
        assert demand(tmp_path, penstock, "migrate", DATABASE_URL=url) == "nothing to apply\n"
        assert re.fullmatch(r"applied \d+_tickets\n", demand(project, penstock, "migrate", DATABASE_URL=url))
        assert demand(tmp_path, penstock, "migrations", "--to", "supabase/migrations").count("wrote ") == files
        assert demand(tmp_path, penstock, "migrate", DATABASE_URL=url) == "nothing to apply\n"
        with psycopg.connect(url) as connection:
            assert connection.execute("select count(*) from public.tickets").fetchone() == (0,)
    assert not (tmp_path / ".penstock").exists()


def test_make_test_passes_in_a_new_project(project: Path) -> None:
    assert "5 passed" in demand(project, "make", "test")


def test_make_up_shows_the_tickets_and_keeps_its_state_in_the_project(project: Path, programs: Path) -> None:
    up = Up(project, command=["make", "up"]).ready()
    local = f"http://127.0.0.1:{up.port}"
    said = demand(project, "sh", "-e", "-c", extend_block("sh tickets").replace("http://127.0.0.1:8000", local))
    assert '"subject":"Late parcel"' in said
    position = up.post("/v1/tickets", {"ticket_id": "T-9", "subject": "Still there?"})["position"]
    assert up.get(f"/v1/tickets/T-9?wait_for={position}")["subject"] == "Still there?"
    wait_until(
        lambda: {"relay_events", "project_tickets"} <= {run["pipeline"] for run in up.get("/v1/runs")["runs"]}, 60
    )
    assert up.get("/ready") == {"status": "ready", "missing": []}
    assert _stop(up) == 0
    assert (project / ".penstock" / "postgres").is_dir()
    assert not list(programs.parent.rglob(".penstock"))
    demand(project, "make", "clean")
    assert not (project / ".penstock" / "postgres").exists()


def test_an_app_that_exists_takes_penstock_in_under_15_lines(project: Path, outer: Path) -> None:
    code = extend_block("python existing")
    assert len(code.splitlines()) < 15
    shutil.copytree(
        project, outer / "existing", ignore=shutil.ignore_patterns("postgres", "__pycache__"), symlinks=True
    )
    (outer / "existing" / "app" / "main.py").write_text(code)
    with throwaway.fresh_database() as url:
        up = Up(outer / "existing", {"DATABASE_URL": url}, command=["make", "up"]).ready()
        assert up.get("/hello") == "still here"
        position = up.post("/v1/tickets", {"ticket_id": "T-1", "subject": "Late parcel"})["position"]
        assert up.get(f"/v1/tickets/T-1?wait_for={position}")["subject"] == "Late parcel"
        unknown = httpx.get(f"http://127.0.0.1:{up.port}/nowhere", trust_env=False)
        assert unknown.json() == {"detail": "Not Found"}
        assert _stop(up) == 0
    wait_until(lambda: left_over(outer / "existing") == [], 60)


def _stop(up: Up) -> int:
    """Ctrl-C reaches what `make` runs, not make alone."""
    os.kill(int((up.folder / ".penstock" / "lock").read_text()), 2)
    return up.ended()
