"""`penstock init`: a project of one's own, as ten short files that run, with tickets as the domain to replace.

The files are in `template/`, as they are but for three words: <NAME> of the project, <PENSTOCK>, the version that it
was written by, and <VERSION> of its first migration.
"""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from penstock import __version__
from penstock.errors import Conflict, InvalidInput
from penstock.postgres import migrations

TEMPLATE = Path(__file__).with_name("template")
SUFFIX = ".tmpl"


def write_project(folder: Path, now: datetime | None = None) -> list[str]:
    """Write the files into `folder`; returns their names. Raises `Conflict`, before all, if one is there already."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", folder.absolute().name).strip("-").lower()
    if not name:
        raise InvalidInput(f"{folder} gives no name for a project: it needs a letter or digit", field="folder")
    files = _files({"<NAME>": name, "<PENSTOCK>": __version__, "<VERSION>": _first_version(now or datetime.now(UTC))})
    if present := [path for path in files if (folder / path).exists()]:
        raise Conflict(f"{folder / present[0]} exists: nothing was written")
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    _remember_python(folder / ".penstock")
    return [*files]


def _files(words: Mapping[str, str]) -> dict[str, str]:
    files = {}
    for source in sorted(TEMPLATE.rglob(f"*{SUFFIX}")):
        path, text = source.relative_to(TEMPLATE).as_posix().removesuffix(SUFFIX), source.read_text(encoding="utf-8")
        for word, value in words.items():
            path, text = path.replace(word.strip("<>"), value), text.replace(word, value)
        files[path] = text
    return files


def _first_version(now: datetime) -> str:
    """Later than the package's migrations, on which it depends, whatever this machine's clock says."""
    last = int(migrations.package_migrations()[-1].version)
    return str(max(int(now.strftime("%Y%m%d%H%M%S")), last + 1))


def _remember_python(state: Path) -> None:
    """For the Makefile: the Python that has Penstock need not be the one on the path. Local, like all state."""
    state.mkdir(exist_ok=True)
    (state / ".gitignore").write_text("*\n")
    link = state / "python"
    link.unlink(missing_ok=True)
    link.symlink_to(sys.executable)
