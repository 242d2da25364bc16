"""Every event name that is sent or listened to is written down once: `penstock/relay/event_names.py`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import inngest

import penstock
from penstock.inngest.standard import FUNCTIONS
from penstock.relay import event_names
from penstock.relay.event_names import APPENDED, EVENT_PREFIX

PACKAGE = Path(penstock.__path__[0])
NAMES = {value for name, value in vars(event_names).items() if name.isupper()}
LOOKS_LIKE_ONE = re.compile(r"(?:penstock|import|views|webhook|inngest|event|etl)/(?:[a-z_]+\.[a-z_]+)?")
OF_THE_STAND_IN = {"inngest/function.invoked", "inngest/scheduled.timer"}
"""What Inngest's own server sends, and no function listens to."""


def literals(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and LOOKS_LIKE_ONE.fullmatch(node.value):
            yield node.value


def test_every_trigger_of_the_package_is_a_known_name_and_every_name_has_its_listener() -> None:
    heard = {
        trigger.event
        for function in FUNCTIONS
        for trigger in function._triggers
        if isinstance(trigger, inngest.TriggerEvent)
    }
    of_domains = {APPENDED, EVENT_PREFIX, event_names.IMPORT_LOADED}
    assert heard == NAMES - of_domains


def test_no_module_spells_a_name_again() -> None:
    found = {
        (str(path.relative_to(PACKAGE)), name)
        for path in PACKAGE.rglob("*.py")
        if path.name != "event_names.py"
        for name in literals(path)
        if name not in OF_THE_STAND_IN
    }
    # what is Inngest's own begins with this
    assert {(path, name) for path, name in found if name != "inngest/"} == set()
    assert set(literals(PACKAGE / "relay" / "event_names.py")) == NAMES
