"""Mappings that are remembered: the options of an import that completed, for the next file with the same header.

`raw.import_mappings` has one for each target and header; explicit options of a later import take its place. A file is
read by it unless options are given or `remember` is false.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from penstock.errors import NotFound
from penstock.ingest.files.options import Options
from penstock.ingest.files.planning import check_names
from penstock.ingest.files.target import find_target, folded
from penstock.postgres import pool
from penstock.postgres.pool import Connection
from penstock.settings import Settings

NOT_REMEMBERED: Final = ("sheet", "join", "remember")
"""Options that say which table or files are meant, or that nothing is remembered, and not how the table is read."""
_COLUMNS: Final = "id, target, header, options, source_name, actor, uses, used_at, created_at, updated_at"


@dataclass(frozen=True)
class RememberedMapping:
    """`options` are as `Options.read` takes them; `header` is that of the file they were given for."""

    id: UUID
    target: str
    header: Sequence[str]
    options: Mapping[str, Any]
    source_name: str
    actor: str
    uses: int
    used_at: datetime | None
    created_at: datetime
    updated_at: datetime

    def as_json(self) -> dict[str, Any]:
        """What API and CLI show."""
        return {"mapping_id": str(self.id), **{name: value for name, value in vars(self).items() if name != "id"}}


def header_key(header: Sequence[str]) -> str | None:
    """What a header is known by, or None of a file that has none."""
    names = sorted({folded(name) for name in header} - {""})
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest() if names else None


def says_how(options: Options) -> bool:
    """Whether the caller has said anything of how the file is to be read."""
    return bool(options.as_json().keys() - set(NOT_REMEMBERED))


def find_mapping(connection: Connection, target: str, key: str | None) -> RememberedMapping | None:
    """The mapping of this target for files with this header."""
    return _one(connection, "target = %s and header_key = %s", target, key) if key else None


def mapped_targets(connection: Connection, key: str | None) -> set[str]:
    """The targets that have a mapping for files with this header."""
    rows = connection.execute("select target from raw.import_mappings where header_key = %s", (key,)).fetchall()
    return {target for (target,) in rows}


def note_use(connection: Connection, mapping_id: UUID) -> None:
    connection.execute(
        "update raw.import_mappings set uses = uses + 1, used_at = clock_timestamp() where id = %s", (mapping_id,)
    )


def remember(connection: Connection, import_id: UUID) -> None:
    """Keep the options of an import that has completed, if it was given any of its own."""
    connection.execute(
        """insert into raw.import_mappings as m (target, header_key, header, options, source_name, actor)
           select i.target, i.header_key, array(select jsonb_array_elements_text(i.plan -> 'dialect' -> 'header')),
             i.options - %(others)s::text[], i.source_name, i.actor
           from raw.imports as i
           where i.id = %(id)s and i.header_key is not null and i.mapping_id is null
             and coalesce((i.options ->> 'remember')::boolean, true) and i.options - %(others)s::text[] <> '{}'
           on conflict (target, header_key) do update
           set header = excluded.header, options = excluded.options, source_name = excluded.source_name,
             actor = excluded.actor, updated_at = clock_timestamp()""",
        {"id": import_id, "others": list(NOT_REMEMBERED)},
    )


def list_mappings(settings: Settings, target: str | None = None, max_count: int = 1000) -> list[RememberedMapping]:
    """All of a target, or of all targets, those that were set last first."""
    with pool.connection(settings) as connection, connection.cursor(row_factory=class_row(RememberedMapping)) as cursor:
        cursor.execute(
            f"""select {_COLUMNS} from raw.import_mappings where %s::text is null or target = %s
                order by updated_at desc, id limit %s""",  # noqa: S608
            (target, target, max_count),
        )
        return cursor.fetchall()


def read_mapping(settings: Settings, mapping_id: UUID) -> RememberedMapping:
    """Raises `NotFound`."""
    with pool.connection(settings) as connection:
        return _known(_one(connection, "id = %s", mapping_id), mapping_id)


def change_mapping(
    settings: Settings, mapping_id: UUID, options: Mapping[str, Any], *, actor: str = "import"
) -> RememberedMapping:
    """Set its options; raises `NotFound`, or `InvalidInput` naming the option or the field that there is not."""
    read = Options.read(options)
    checked = read.as_json()
    with pool.transaction(settings) as connection:
        mapping = _known(_one(connection, "id = %s for update", mapping_id), mapping_id)
        # it would fail every file from now on; a column that is not there fails only the files without it
        check_names(find_target(mapping.target), read)
        connection.execute(
            """update raw.import_mappings set options = %s, actor = %s, updated_at = clock_timestamp()
               where id = %s""",
            (Jsonb({name: value for name, value in checked.items() if name not in NOT_REMEMBERED}), actor, mapping_id),
        )
        return _known(_one(connection, "id = %s", mapping_id), mapping_id)


def forget_mapping(settings: Settings, mapping_id: UUID) -> None:
    """Delete it; what was imported by it stays. Raises `NotFound`."""
    with pool.transaction(settings) as connection:
        if not connection.execute("delete from raw.import_mappings where id = %s", (mapping_id,)).rowcount:
            _known(None, mapping_id)


def _one(connection: Connection, condition: str, *values: object) -> RememberedMapping | None:
    with connection.cursor(row_factory=class_row(RememberedMapping)) as cursor:
        query = f"select {_COLUMNS} from raw.import_mappings where {condition}"  # noqa: S608 - conditions of this file
        return cursor.execute(query, values).fetchone()


def _known(mapping: RememberedMapping | None, mapping_id: UUID) -> RememberedMapping:
    if mapping is None:
        raise NotFound(f"there is no remembered mapping {mapping_id}", mapping_id=str(mapping_id))
    return mapping
