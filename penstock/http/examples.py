"""An example of what a JSON schema describes: its own where it has one, else one made of its parts.

What is made holds for the schema; the better the examples of the fields, the better it is.
"""

from collections.abc import Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

TIME: Final = "2026-11-21T09:30:00Z"
ID: Final = "019aa1b2-0000-7000-8000-000000000000"
_NAMED: Final[Mapping[str, Any]] = {
    "actor": "till",
    "aggregate_id": "T-1",
    "aggregate_type": "ticket",
    "content_sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "event_type": "TicketOpened",
    "fold": "ticket",
    "header": "Order date",
    "metadata": {"actor": "till", "source": "api", "correlation_id": ID, "occurred_at": TIME},
    "missing": "20261121000410_penstock_dead_letters",
    "payload": {"subject": "Late parcel"},
    "pipeline": "project_orders",
    "reason": "not a time: yesterday",
    "since": TIME,
    "source": "orders",
    "source_name": "orders.csv",
    "start_url": f"/v1/imports/{ID}/start",
    "state": "completed",
    "status_url": f"/v1/imports/{ID}",
    "target": "orders",
    "view": "monthly_revenue",
    "finished_at": TIME,
    "refreshed_at": TIME,
    "read": 500,
    "loaded": 496,
    "accepted": 496,
    "rejected": 4,
    "rejects_kept": 4,
    "skipped": 0,
    "held": 0,
    "duplicate": 0,
    "pending": 0,
    "updated": 0,
    "size_bytes": 24576,
    "bytes_read": 24576,
    "rows_in": 500,
    "rows_out": 496,
    "rows_rejected": 4,
    "duration_ms": 120,
}
"""Of what has no example of its own: by the names that answers of the package use for one thing alone."""
_TYPES: Final = {"object": dict, "string": str, "integer": int}
_FORMATS: Final = {"date-time": TIME, "date": "2026-11-21", "uuid": ID}
_SIMPLE: Final = {"boolean": False, "null": None, "number": 1.5}


def example_of(schema: Schema, schemas: Mapping[str, Schema], name: str = "") -> Any:
    """`schemas` are the document's by name; `name` is that of the field."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    said, given = _given(schema)
    if said:
        return given
    if alternatives := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return example_of(_telling(alternatives, name), schemas, name)
    kind = schema.get("type")
    if type(_NAMED.get(name)) is _TYPES.get(str(kind)):
        return _NAMED[name]
    if kind == "object":
        return _of_object(schema, schemas)
    if kind == "array":
        return [example_of(schema.get("items", {}), schemas, name)]
    return _of_value(kind, schema, name)


def _given(schema: Schema) -> tuple[bool, Any]:
    if "examples" in schema:
        return True, schema["examples"][0]
    if "const" in schema:
        return True, schema["const"]
    if "enum" in schema:
        return True, schema["enum"][0]
    return schema.get("default") is not None, schema.get("default")


def _telling(alternatives: list[Schema], name: str) -> Schema:
    """What may be missing is shown missing, unless it has an example."""
    if {"type": "null"} in alternatives and name not in _NAMED:
        return next((each for each in alternatives if "examples" in each or "$ref" in each), {"type": "null"})
    return alternatives[0]


def _of_object(schema: Schema, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    shown = {
        name: field
        for name, field in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or "examples" in field
    }
    return {name: example_of(field, schemas, name) for name, field in shown.items()}


def _of_value(kind: str | None, schema: Schema, name: str) -> Any:
    if kind == "integer":
        return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
    if kind in _SIMPLE:
        return _SIMPLE[kind]
    if schema.get("format") in _FORMATS or name.endswith("_at"):
        return _FORMATS.get(schema.get("format", ""), TIME)
    if name == "id" or name.endswith("_id"):
        return ID
    return name.replace("_", " ") or "text"
