"""The command on an inventory: add pieces or take some away, in one transaction."""

from penstock.commands import (
    CommandAnswer,
    CommandContext,
    Earlier,
    Identity,
    Recorder,
    evolved,
    in_transaction,
    lock_streams,
)
from penstock.postgres.pool import Connection
from penstock.settings import Settings
from shop.inventory import inventory
from shop.inventory.fold import load_inventory
from shop.inventory.inputs import AdjustInventory
from shop.inventory.inventory import Inventory


def adjust_inventory(
    settings: Settings, product_id: str, command: AdjustInventory, context: CommandContext
) -> CommandAnswer[Inventory]:
    """Add or take away pieces. Raises `InsufficientStock` if orders hold what would be taken."""
    identity = Identity(context, "adjust_inventory", product_id, command)

    def attempt(connection: Connection) -> CommandAnswer[Inventory]:
        if earlier := identity.find_earlier(connection):
            return _replay(connection, earlier)
        stream = (inventory.AGGREGATE_TYPE, product_id)
        lock_streams(connection, [stream])
        current = load_inventory(connection, product_id)
        decided = inventory.adjust(current.state, product_id, command.delta, command.reason)
        recorder = Recorder(connection, context, identity)
        appended = recorder.append_main(stream, current.version, decided, context.now)
        state = evolved(inventory.evolve, current.state, decided)
        return CommandAnswer(product_id, state, appended.version, appended.position, appended.duplicate)

    return in_transaction(settings, identity, attempt)


def _replay(connection: Connection, earlier: Earlier) -> CommandAnswer[Inventory]:
    loaded = load_inventory(connection, earlier.aggregate_id, at_version=earlier.version)
    return CommandAnswer(earlier.aggregate_id, loaded.state, earlier.version, earlier.position, True)
