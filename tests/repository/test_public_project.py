"""What a public project needs: a license, a name that is its own, an image and a workflow that say what is so."""

import json
import re
import tomllib
from pathlib import Path

import penstock
from tests.unit.test_walls import tracked

PROJECT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
DOCKERFILE = (PROJECT / "Dockerfile").read_text(encoding="utf-8")
# `penstock` on PyPI and npm is somebody else's package: ours is penstock-events.
STRANGER = re.compile(
    r"""(?:pip3?|pipx|uv|uvx|npm|npx|pnpm|yarn|poetry|conda)\b[^\n`]*?[\s'"]penstock(?![\w./:-]|\s+[a-z-])"""
    r"""|[\s'"`]penstock(?:\[[a-z,]+\]|\s*[=<>~!]=)"""
)


def test_nothing_makes_anyone_install_the_strangers_package() -> None:
    texts = ["*.md", "*.toml", "*.tmpl", "*.py", "*.yml", "*.json", "*.sh", "Makefile", "Dockerfile", ".ci/run"]
    files = [path for path in tracked(*texts) if path != Path(__file__)]
    assert len(files) > 400
    found = [(path.name, match[0]) for path in files for match in STRANGER.finditer(path.read_text(encoding="utf-8"))]
    assert found == []


def test_such_an_advice_would_be_seen() -> None:
    for advice in (
        "pip install penstock",
        "pip install 'penstock[local]'",
        "python -m pip install --upgrade penstock\n",
        "npm install penstock",
        'dependencies = ["penstock>=0.2"]',
        "needs `penstock[parquet]`",
        "uvx penstock",
    ):
        assert STRANGER.search(advice), advice
    for advice in ("pip install 'penstock-events[local]'", "docker run penstock penstock migrate", "pip install -e ."):
        assert not STRANGER.search(advice), advice


def test_the_distribution_is_ours_and_has_the_modules_version() -> None:
    project = PYPROJECT["project"]
    assert (project["name"], project["license"], project["dynamic"]) == ("penstock-events", "MIT", ["version"])
    assert PYPROJECT["tool"]["setuptools"]["dynamic"] == {"version": {"attr": "penstock.__version__"}}
    assert project["scripts"] == {"penstock": "penstock.cli:main"}
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"\n## {penstock.__version__}\n" in changelog


def test_the_license_is_mit_and_in_the_distribution() -> None:
    text = (PROJECT / "LICENSE").read_text(encoding="utf-8")
    assert text.startswith("MIT License\n")
    assert "The Penstock authors" in text
    assert all((PROJECT / name).is_file() for name in PYPROJECT["project"]["license-files"])
    assert "LICENSE" in PYPROJECT["project"]["license-files"]


def test_contributing_names_targets_and_files_that_exist() -> None:
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8") + (PROJECT / "SECURITY.md").read_text("utf-8")
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets
    named = re.findall(r"`((?:docs|tests|penstock)/[\w./]+)`", text)
    assert named
    assert all((PROJECT / name).exists() for name in named)
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file()


def test_the_image_has_what_it_copies_no_secret_and_no_root() -> None:
    copied = [name for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE) for name in line.split()[:-1]]
    assert {"app", "functions", "shop", "penstock", "supabase/migrations", "LICENSE"} <= set(copied)
    allowed = {line[1:] for line in (PROJECT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == allowed
    assert all((PROJECT / name).exists() for name in copied)
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["penstock"]
    assert DOCKERFILE.index("\nUSER ") < DOCKERFILE.index("\nCMD ")
    assert not re.search(r"(KEY|SECRET|DATABASE_URL|PENSTOCK_ENV)", DOCKERFILE)


def test_the_image_installs_the_versions_of_the_lock() -> None:
    """The lock without its hashes is a file of constraints."""
    expressions = re.findall(r"-e '(.+?)'", DOCKERFILE)
    assert expressions == ["/--hash/d", r"s/ *\\$//"]
    lines = (PROJECT / "requirements" / "local.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.sub(r" *\\$", "", line) for line in lines if "--hash" not in line]
    assert all(re.fullmatch(r"[a-z0-9-]+(\[[a-z,]+\])?==\S+( ; .+)?|", pin) for pin in pins)
    assert any(pin.startswith("uvicorn==") for pin in pins)


def test_the_workflow_runs_what_a_contributor_runs() -> None:
    text = (PROJECT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert re.findall(r"^ +- run: (.+)$", text, re.MULTILINE)[-1] == "bash .ci/run"
    assert re.search(r"^ +container: python:3\.\d+-bookworm$", text, re.MULTILINE), "Debian 12 has the packages"
    assert re.search(r"^permissions:\n  contents: read$", text, re.MULTILINE)
    assert "secrets." not in text


def test_the_devcontainer_is_json_and_makes_what_the_makefile_makes() -> None:
    container = json.loads((PROJECT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8"))
    assert container["postCreateCommand"] == "make .venv/dev"
    assert "$(VENV)/dev:" in (PROJECT / "Makefile").read_text(encoding="utf-8")
