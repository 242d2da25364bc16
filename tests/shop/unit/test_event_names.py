"""The shop's functions, and what asks for them, spell no event's name of their own."""

from pathlib import Path

import inngest

import functions
import shop
from penstock.relay.event_names import APPENDED, EVENT_PREFIX, projection_behind
from shop.figures import DAILY_REQUESTED
from tests.unit.inngest.test_event_names import NAMES, literals


def test_every_trigger_is_a_known_name() -> None:
    heard = {
        trigger.event
        for function in functions.FUNCTIONS
        for trigger in function._triggers
        if isinstance(trigger, inngest.TriggerEvent)
    }
    assert heard - NAMES == {DAILY_REQUESTED, *(projection_behind(each.name) for each in shop.DOMAIN.projections)}
    assert NAMES - heard == {EVENT_PREFIX, APPENDED}  # nothing of ours hears of each append; a function of yours may


def test_the_name_is_written_down_once() -> None:
    paths = [path for package in (functions, shop) for path in Path(package.__path__[0]).rglob("*.py")]
    found = [(path.name, name) for path in paths for name in literals(path)]
    assert found == [("daily.py", DAILY_REQUESTED)]
