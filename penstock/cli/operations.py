"""Running it: `penstock relay`, `retry`, `runs` and `doctor`."""

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from uuid import UUID

from penstock import event_store
from penstock.cli.inngest import relay_now, send
from penstock.cli.session import (
    command_settings,
    environment,
    print_json,
    print_rows,
    reachable_settings,
    up_record,
)
from penstock.errors import AlreadyResolved, InvalidInput, PenstockError, SettingsError
from penstock.operations import doctor
from penstock.operations.dead_letter_retries import retry_letter
from penstock.operations.doctor import Check
from penstock.pipelines import dead_letters
from penstock.pipelines.runs import list_runs
from penstock.postgres import pool
from penstock.redaction import error_text
from penstock.relay.outbox import SUBSCRIPTION, go_back
from penstock.settings import Settings

_RUN_COLUMNS = ("started_at", "pipeline", "status", "duration_ms", "rows_in", "rows_out", "rows_rejected", "error")
_LETTER_COLUMNS = ("id", "kind", "source", "reference", "attempts", "created_at", "reason")


def relay(options: argparse.Namespace) -> None:
    """Publish to Inngest now, instead of by the next sweep; with `--from` again, from that position on."""
    settings = reachable_settings()
    if options.from_position is not None:
        _check_position(settings, options.from_position)
        go_back(settings, max(options.from_position - 1, 0))
    relayed = relay_now(settings, seconds=math.inf)
    print(
        f"{relayed.events:,} events published, {relayed.sent:,} sent to listeners, up to position {relayed.position:,}"
    )


def _check_position(settings: Settings, position: int) -> None:
    with pool.connection(settings) as connection:
        published = event_store.read_checkpoint(connection, SUBSCRIPTION)
    if position > published + 1:
        raise InvalidInput(
            f"position {position} is beyond what was published to Inngest, up to {published}", field="--from"
        )


def retry(options: argparse.Namespace) -> int:
    """Run dead letters again, or drop them. Without ids it lists what is open; exit code 1 if one fails again."""
    settings = reachable_settings()
    with pool.connection(settings) as connection:
        letters = dead_letters.list_dead_letters(connection)
    if not options.ids and not options.all and not options.drop:
        rows = [asdict(letter) for letter in letters]
        print_json(rows) if options.json else print_rows(rows, _LETTER_COLUMNS, empty="no dead letter is open")
        return 0
    found = {letter.id for letter in letters}
    ids = [letter.id for letter in letters] if options.all else [_uuid(text) for text in options.ids]
    outcomes = [_dropped(settings, _uuid(text)) for text in options.drop]
    outcomes += [_retried(settings, letter_id, was_open=letter_id in found) for letter_id in ids]
    print_json(outcomes) if options.json else print_rows(outcomes, ("id", "outcome"), empty="no dead letter is open")
    return 0 if all(outcome["ok"] for outcome in outcomes) else 1


def _retried(settings: Settings, letter_id: UUID, *, was_open: bool) -> Mapping[str, object]:
    """One that fails again must not keep the others from their turn; a rebuild may have resolved several at once."""
    try:
        outcome = retry_letter(settings, letter_id, partial(send, settings))
        return {"id": letter_id, "ok": True, "outcome": outcome}
    except AlreadyResolved as error:
        return {"id": letter_id, "ok": was_open, "outcome": str(error)}
    except PenstockError as error:
        return {"id": letter_id, "ok": False, "outcome": error_text(error)}


def _dropped(settings: Settings, letter_id: UUID) -> Mapping[str, object]:
    try:
        dead_letters.drop(settings, letter_id)
        return {"id": letter_id, "ok": True, "outcome": "dropped"}
    except PenstockError as error:
        return {"id": letter_id, "ok": False, "outcome": error_text(error)}


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text!r} is not the id of a dead letter", field="id") from None


def runs(options: argparse.Namespace) -> None:
    """The last runs, the latest first."""
    with pool.connection(reachable_settings()) as connection:
        found = [asdict(run) for run in list_runs(connection, pipeline=options.pipeline, max_count=options.limit)]
    print_json(found) if options.json else print_rows(found, _RUN_COLUMNS, empty="nothing ran yet")


def diagnose(options: argparse.Namespace) -> int:
    """All checks; the process says by its exit code whether one fails."""
    checks = [_environment(), *_parts()]
    if options.json:
        print_json([asdict(check) for check in checks])
    else:
        for check in checks:
            print(f"{'ok  ' if check.ok else 'FAIL'}  {check.name:<14} {check.message}")
    return 0 if all(check.ok for check in checks) else 1


def _parts() -> list[Check]:
    try:
        return doctor.run_checks(command_settings())
    except SettingsError as error:
        return [Check("settings", False, str(error))]


def _environment() -> Check:
    """What the app itself would say at its start, with the environment of this shell."""
    env = environment()
    if up_record() and not env.get("DATABASE_URL"):
        return Check("environment", True, "local, by `make up`")
    try:
        return Check("environment", True, Settings.from_env(env).environment)
    except SettingsError as error:
        return Check("environment", False, str(error))
