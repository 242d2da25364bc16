"""Setting a project and its database up: `penstock init`, `migrate` and `migrations`."""

import argparse
from pathlib import Path

from penstock.cli.arguments import Commands, add_command
from penstock.cli.session import command_settings
from penstock.postgres import migrations, pool
from penstock.project import find_project


def add_commands(commands: Commands) -> None:
    init = add_command(commands, "init", start_project, "write a project of your own: ten short files that run")
    init.add_argument("folder", type=Path, help="a new or empty folder")
    apply = add_command(commands, "migrate", migrate, "apply the migrations that are missing")
    apply.add_argument("--dry-run", action="store_true", help="only say which, and what would be in their way")
    files = add_command(commands, "migrations", copy_migrations, "list the package's migrations, or copy them")
    files.add_argument("--to", type=Path, metavar="FOLDER", help="where the Supabase CLI finds them")


def start_project(options: argparse.Namespace) -> None:
    """Write the files, and say what comes next."""
    from penstock.local.init import write_project

    for name in write_project(options.folder):
        print(f"wrote {name}")
    print(f"\nnext: cd {options.folder} && make test && make up")


def migrate(options: argparse.Namespace) -> None:
    """Apply what is missing, all of it or nothing."""
    settings = command_settings()
    folder = find_project().migrations
    with pool.connect(settings.database_url) as connection:
        if options.dry_run:
            missing = migrations.missing_migrations(connection, folder)
            print("\n".join(f"would apply {name}" for name in missing) or "nothing to apply")
            return
        applied = migrations.migrate(
            connection, timezone=settings.timezone, earliest_day=settings.earliest_day, folder=folder
        )
    print("\n".join(f"applied {name}" for name in applied) or "nothing to apply")


def copy_migrations(options: argparse.Namespace) -> None:
    """Needs no database: with `--to` the Supabase CLI can apply what `penstock migrate` would."""
    if options.to is None:
        print("\n".join(each.file for each in migrations.package_migrations()))
        return
    written = migrations.write_migrations(options.to)
    print("\n".join(f"wrote {options.to / name}" for name in written) or f"{options.to} has them all")
