"""An import that cannot go on ends, with the reason and nothing left behind; one that may go on is tried so often."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from penstock.errors import Unavailable
from penstock.ingest.files import Import, advance_import, create_import, import_status, run
from penstock.ingest.files.load.staging import Staging
from penstock.ingest.files.run import MAX_ATTEMPTS
from penstock.settings import Settings

LINES = b"ticket_id,part,quantity,opened_at,price\n1,P,2,2026-01-01,1.50\n"
LEFT = """
select count(*) from pg_class where relnamespace = 'staging'::regnamespace and starts_with(relname, 'import_')
"""
LATER = "update raw.imports set attempted_at = attempted_at - interval '2 minutes'"


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def begun(settings: Settings, connection: psycopg.Connection) -> Import:
    """An import with its staging tables there, and its lines still to be loaded."""
    created, _ = create_import(settings, "tickets", LINES)
    assert advance_import(settings, created.id, seconds=0).state == "loading"
    assert connection.execute(LEFT).fetchone() != (0,)
    return created


@pytest.mark.parametrize(
    "error",
    [ValueError("month must be in 1..12"), KeyError("x"), RecursionError("too deep"), ZeroDivisionError()],
    ids=repr,
)
@pytest.mark.parametrize("step", ["copy", "form_events", "append"])
def test_what_would_happen_again_ends_the_import(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, error: Exception, step: str
) -> None:
    created = begun(settings, connection)
    monkeypatch.setattr(Staging, step, failing(error))
    done = advance_import(settings, created.id)
    assert done.state == "failed"
    assert done.finished_at is not None
    assert "the import cannot go on: " + type(error).__name__ in (done.error or "")
    assert connection.execute(LEFT).fetchone() == (0,)


def test_a_file_that_is_gone_ends_the_import(settings: Settings, connection: psycopg.Connection) -> None:
    created = begun(settings, connection)
    for path in settings.storage_folder.rglob("*"):
        if path.is_file():
            path.unlink()
    done = advance_import(settings, created.id)
    assert (done.state, done.error) == ("failed", "the file is no longer stored: send it again")
    assert connection.execute(LEFT).fetchone() == (0,)


@pytest.mark.parametrize(
    "error", [Unavailable("Storage answers 503"), psycopg.InternalError("read-only"), OSError("disk")]
)
def test_what_may_pass_is_tried_so_often_and_then_ends_with_the_last_reason(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    created = begun(settings, connection)
    monkeypatch.setattr(Staging, "copy", failing(error))
    for _ in range(MAX_ATTEMPTS - 1):
        connection.execute(LATER)
        for _ in range(3):  # quick retries within a minute
            with pytest.raises(type(error)):
                advance_import(settings, created.id)
    assert import_status(settings, created.id).state == "loading"
    connection.execute(LATER)
    with pytest.raises(type(error)):
        advance_import(settings, created.id)
    connection.execute(LATER)
    done = advance_import(settings, created.id)
    assert done.state == "failed"
    assert done.error == (
        f"given up after {MAX_ATTEMPTS} attempts without progress; the last one ended with"
        f" {type(error).__name__}: {error}"
    )
    assert connection.execute(LEFT).fetchone() == (0,)


def test_an_import_whose_workers_are_killed_is_given_up(settings: Settings, connection: psycopg.Connection) -> None:
    created = begun(settings, connection)
    connection.execute(
        "update raw.imports set attempts = %s, attempted_at = now() - interval '1 hour'", (MAX_ATTEMPTS,)
    )
    done = advance_import(settings, created.id)
    assert done.state == "failed"
    assert "each worker was killed or vanished" in (done.error or "")


def test_progress_makes_the_attempts_and_the_error_forgotten(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = begun(settings, connection)
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "copy", failing(OSError("disk")))
        with pytest.raises(OSError, match="disk"):
            advance_import(settings, created.id)
    assert "disk" in (import_status(settings, created.id).error or "")
    connection.execute("update raw.imports set attempts = %s", (MAX_ATTEMPTS,))
    done = advance_import(settings, created.id)
    assert (done.state, done.error, done.attempts, done.loaded) == ("completed", None, 0, 1)


def test_a_worker_that_fails_late_does_not_end_what_another_has_completed(
    settings: Settings, connection: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    created = begun(settings, connection)
    load = run._Runner.load

    def overtaken(self: Any, connection: Any, imported: Import) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(run._Runner, "load", load)
            assert advance_import(settings, created.id).state == "completed"
        raise ValueError("too late")

    monkeypatch.setattr(run._Runner, "load", overtaken)
    done = advance_import(settings, created.id)
    assert (done.state, done.error, done.loaded) == ("completed", None, 1)
