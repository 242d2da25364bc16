"""What `make` installs is pinned, hashed, in step with pyproject.toml, and names no host."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
WANTED = {
    "local": [*PYPROJECT["project"]["dependencies"], *EXTRAS["local"]],
    "dev": [*PYPROJECT["project"]["dependencies"], *EXTRAS["local"], *EXTRAS["dev"]],
}


def pinned(name: str) -> dict[str, str]:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", ["local", "dev"])
def test_every_requirement_is_pinned_within_its_bounds(name: str) -> None:
    pins = pinned(name)
    for text in [*WANTED[name], *PYPROJECT["build-system"]["requires"]]:
        wanted = Requirement(text)
        assert wanted.name in pins, f"{text} is not in requirements/{name}.txt: run `make lock`"
        assert wanted.specifier.contains(pins[wanted.name], prereleases=True), f"{text}, but {pins[wanted.name]}"


def test_both_locks_agree() -> None:
    local, dev = pinned("local"), pinned("dev")
    assert local.items() <= dev.items()


@pytest.mark.parametrize("name", ["local", "dev"])
def test_a_lock_has_hashes_and_names_no_host(name: str) -> None:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text()
    assert text.count("==") <= text.count("--hash=sha256:")
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    assert "/" not in re.sub(r"--hash=sha256:[0-9a-f]{64}", "", text)


def test_locks_and_configs_name_public_hosts_only() -> None:
    public = {"127.0.0.1", "openapi.vercel.sh", "supabase.com", "pypi.org", "registry.npmjs.org"}
    files = [
        *PROJECT.glob("requirements/*"),
        *PROJECT.glob("supabase/**/*.toml"),
        *PROJECT.glob("supabase/functions/**/*.json"),
        *(PROJECT / name for name in ("pyproject.toml", "vercel.json", "Makefile", ".ci/run", ".squawk.toml")),
    ]
    hosts = {host for file in files for host in re.findall(r"://([^/\s:\"']+)", file.read_text(encoding="utf-8"))}
    assert hosts <= public
