"""How far the relay has published each event type to its listeners: `ops.listened_types`.

A type that a function listens to for the first time is published from the first event on, and one that was not
listened to for a while from where its listeners left. All of it happens under the lock of the relay's checkpoint.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from penstock.postgres.pool import Connection
from penstock.postgres.sqlstates import translate_errors


@dataclass(frozen=True, slots=True)
class Listened:
    """Names of event types, and prefixes of such names."""

    types: list[str]
    prefixes: list[str]

    @classmethod
    def of(cls, names: Collection[str]) -> "Listened":
        prefixes = [name.removesuffix("*") for name in names if name.endswith("*")]
        return cls([name for name in names if not name.endswith("*")], prefixes)

    def __contains__(self, event_type: str) -> bool:
        return event_type in self.types or event_type.startswith(tuple(self.prefixes))


@dataclass(frozen=True, slots=True)
class Listening:
    """`current` types are published as events come in; those `behind` were published up to the position beside them."""

    current: Listened
    behind: Mapping[str, int]


def read_listening(connection: Connection, names: Collection[str], position: int) -> Listening:
    """Compare what is listened to now with what was; `position` is the relay's checkpoint, which the caller holds."""
    with translate_errors():
        rows: dict[str, int | None] = dict(
            connection.execute("select event_type, position from ops.listened_types").fetchall()
        )
        if left := [name for name, place in rows.items() if place is None and name not in names]:
            connection.execute(_LEFT, {"names": left, "position": position})
        if new := [name for name in names if name not in rows]:
            connection.execute(_NEW, {"names": new, "position": position})
    places = {name: rows.get(name, 0 if position else None) for name in names}
    behind = {name: place for name, place in places.items() if place is not None}
    return Listening(Listened.of([name for name in places if name not in behind]), behind)


def move_listening(connection: Connection, name: str, position: int | None) -> None:
    """Note that one type was published up to `position`; None: as far as the relay."""
    with translate_errors():
        connection.execute(
            "update ops.listened_types set position = %s, updated_at = now() where event_type = %s", (position, name)
        )


def move_listening_back(connection: Connection, position: int) -> None:
    """Have no type further than `position`."""
    with translate_errors():
        connection.execute(
            "update ops.listened_types set position = %(to)s, updated_at = now() where position > %(to)s",
            {"to": position},
        )


# In a store from which nothing was published yet, nothing is behind.
_NEW = """
insert into ops.listened_types (event_type, position)
select name, case when %(position)s > 0 then 0 end from unnest(%(names)s::text[]) as n (name)
"""
_LEFT = """
update ops.listened_types set position = %(position)s, updated_at = now() where event_type = any(%(names)s)
"""
