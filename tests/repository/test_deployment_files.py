"""vercel.json, [tool.vercel] and .env.example say what Vercel and the program expect."""

import json
import re
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[2]
VERCEL = json.loads((PROJECT / "vercel.json").read_text())
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
ENTRYPOINT = "app/main.py"


def variables_of_the_example() -> list[str]:
    return re.findall(r"^([A-Z][A-Z0-9_]*)=", (PROJECT / ".env.example").read_text(), re.MULTILINE)


def test_vercel_json_routes_nothing_since_a_catch_all_breaks_every_path() -> None:
    assert not VERCEL.keys() & {"rewrites", "routes", "builds", "redirects"}


def test_vercel_json_configures_the_file_that_pyproject_names_as_entrypoint() -> None:
    module, _, attribute = PYPROJECT["tool"]["vercel"]["entrypoint"].partition(":")
    assert module.replace(".", "/") + ".py" == ENTRYPOINT
    assert attribute == "app"
    assert list(VERCEL["functions"]) == [ENTRYPOINT]
    assert (PROJECT / ENTRYPOINT).is_file()


def test_vercel_json_stays_within_the_platforms_limits() -> None:
    function = VERCEL["functions"][ENTRYPOINT]
    assert 1 <= function["maxDuration"] <= 300
    assert len(function["excludeFiles"]) <= 256


def test_the_example_environment_names_every_variable_that_the_settings_read() -> None:
    """But the one that a host sets by itself."""
    source = (PROJECT / "penstock" / "settings.py").read_text()
    read = set(re.findall(r'(?:env\.get\(|env, )"([A-Z][A-Z0-9_]+)"', source))
    assert "DATABASE_URL" in read
    assert read - {"VERCEL"} <= set(variables_of_the_example())


def test_the_example_environment_names_each_variable_once_and_explains_it() -> None:
    names = variables_of_the_example()
    assert len(names) == len(set(names))
    lines = (PROJECT / ".env.example").read_text().splitlines()
    for number, line in enumerate(lines):
        assert not re.match(r"[A-Z]", line) or lines[number - 1].startswith("#"), line


def test_the_example_environment_holds_no_secret() -> None:
    text = (PROJECT / ".env.example").read_text()
    assert not re.search(r"^[A-Z_]*(KEY|SECRET|KEYS|SECRETS|DATABASE_URL)=\S", text, re.MULTILINE)
