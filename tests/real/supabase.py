"""The Supabase CLI, driven against a database by its address: what needs neither Docker nor an account."""

from subprocess import CompletedProcess

from tests.real.toolbox import PROJECT, run, supabase_cli

VERSIONS = [path.name.partition("_")[0] for path in sorted((PROJECT / "supabase/migrations").glob("*.sql"))]


def cli(*arguments: str) -> CompletedProcess[str]:
    environment = {"SUPABASE_TELEMETRY_DISABLED": "1", "DO_NOT_TRACK": "1"}
    return run([supabase_cli(), *arguments, "--workdir", PROJECT], environment=environment)


def demand(*arguments: str) -> str:
    """All that the CLI said, provided that it succeeded."""
    done = cli(*arguments)
    assert done.returncode == 0, f"supabase {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr
