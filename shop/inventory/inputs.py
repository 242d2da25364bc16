"""What a caller says in a command on an inventory, checked."""

from pydantic import ConfigDict

from penstock.payloads import Payload
from penstock.types import Category, Change


class AdjustInventory(Payload):
    model_config = ConfigDict(json_schema_extra={"examples": [{"delta": 12, "reason": "counted"}]})

    delta: Change
    reason: Category | None = None
