"""Which project the command line works for: its folder, and what its pyproject.toml says of it.

    [tool.penstock]
    app = "app.main:app"
    domains = ["shop:DOMAIN"]
    functions = "functions:FUNCTIONS"

The folder is the nearest one, from the working folder upwards, whose pyproject.toml has this table; without one, the
working folder, with no domain. This is the one place where names in a text become code: the user's own configuration.
"""

import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from penstock.domain import Domain, Local, install
from penstock.errors import SettingsError


@dataclass(frozen=True)
class Project:
    """`app`, `domains` and `functions` are names as `module:attribute`; `declared`: pyproject.toml has the table."""

    folder: Path
    app: str = "app.main:app"
    domains: tuple[str, ...] = ()
    functions: str | None = None
    declared: bool = False

    @property
    def migrations(self) -> Path | None:
        """Where the Supabase CLI has a project's migrations. None outside a project: those of others are not ours."""
        return self.folder / "supabase" / "migrations" if self.declared else None

    def load_domains(self) -> list[Domain]:
        return [_domain(name) for name in self.domains]

    @property
    def commands(self) -> list[Callable[[Any], None]]:
        """What adds the domains' commands to the command line."""
        return [add for domain in self.load_domains() for add in domain.commands]

    @property
    def samples(self) -> list[Callable[[Local], None]]:
        """What the domains would like to load into an empty local run."""
        return [domain.sample for domain in self.load_domains() if domain.sample]

    @property
    def state(self) -> Path:
        """Where a local run keeps what is its own: database, logs, uploads."""
        return self.folder / ".penstock"


def find_project(start: Path | None = None) -> Project:
    """The project of the working folder. Raises `SettingsError` if its table cannot be read."""
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        table = _table(folder / "pyproject.toml")
        if table is not None:
            return _project(folder, table)
    return Project(here)


def install_domains() -> Project:
    """Find the project and install its domains."""
    project = find_project()
    _importable(project.folder)
    install(*project.load_domains())
    return project


def project_functions() -> list[Any]:
    """The Inngest functions of the project, which say what the relay sends."""
    project = install_domains()
    return list(_resolve(project.functions)) if project.functions else []


def _domain(name: str) -> Domain:
    domain = _resolve(name)
    if not isinstance(domain, Domain):
        raise SettingsError(f"{name} in pyproject.toml, [tool.penstock] domains, must be a penstock.domain.Domain")
    return domain


def _table(path: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    table = content.get("tool", {}).get("penstock")
    return table if isinstance(table, dict) else None


def _project(folder: Path, table: dict[str, Any]) -> Project:
    if unknown := sorted(set(table) - {"app", "domains", "functions"}):
        raise SettingsError(f"{folder / 'pyproject.toml'}, [tool.penstock]: {unknown[0]} is not a known key")
    domains = table.get("domains", [])
    if not isinstance(domains, list) or not all(isinstance(name, str) for name in domains):
        raise SettingsError(f"{folder / 'pyproject.toml'}, [tool.penstock]: domains must be a list of texts")
    return Project(folder, str(table.get("app", Project.app)), tuple(domains), table.get("functions"), True)


def _importable(folder: Path) -> None:
    """The console script's path starts at its own folder, not at the project's as `python -m` does."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _resolve(name: str) -> Any:
    try:
        return resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"{name} in pyproject.toml, [tool.penstock], cannot be imported: {error}") from error
