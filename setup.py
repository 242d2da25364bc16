"""What pyproject.toml cannot say: the wheel carries the package's migrations, which are written in supabase/."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

MIGRATIONS = Path(__file__).parent / "supabase" / "migrations"


class BuildWithMigrations(build_py):
    """An editable installation reads them where they are (see penstock/postgres/migrations.py)."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            self._copy_migrations(Path(self.build_lib) / "penstock" / "migrations")

    def _copy_migrations(self, target: Path) -> None:
        files = sorted(MIGRATIONS.glob("*_penstock_*.sql"))
        if not files:
            raise SystemExit(f"{MIGRATIONS} holds no migration of the package: a wheel without them is of no use")
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.sql"):
            old.unlink()
        for file in files:
            shutil.copyfile(file, target / file.name)


setup(cmdclass={"build_py": BuildWithMigrations})
