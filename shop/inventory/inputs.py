"""What a caller says in a command on an inventory, checked."""

from penstock.payloads import Payload
from penstock.types import Category, Change


class AdjustInventory(Payload):
    delta: Change
    reason: Category | None = None
