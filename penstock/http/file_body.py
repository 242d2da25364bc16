"""A file as the body of a request, as the OpenAPI document describes it: the file itself, or a form with it."""

from typing import Any, Final

CSV: Final = "order_id,product_id,quantity,unit_price,ordered_at\nA-1,MUG,2,7.50,2026-11-20\n"
_ROW: Final = {"order_id": "A-1", "product_id": "MUG", "quantity": 2, "unit_price": "7.50", "ordered_at": "2026-11-20"}
_LINE: Final = '{"order_id":"A-1","product_id":"MUG","quantity":2,"unit_price":"7.50","ordered_at":"2026-11-20"}\n'


def _bytes_of(name: str) -> dict[str, Any]:
    return {"schema": {"type": "string", "format": "binary"}, "example": f"(the bytes of {name})"}


REJECTS: Final = (
    'line,place,outcome,field,reason,content\n3,,rejected,quantity,"not a whole number","A-2,MUG,two,7.50,2026-11-20"\n'
)

FILE_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "The file itself, or a form with the file as `file`.",
        "content": {
            "text/csv": {"schema": {"type": "string"}, "example": CSV},
            "application/json": {"schema": {"type": ["array", "object"]}, "example": [_ROW]},
            "application/x-ndjson": {"schema": {"type": "string"}, "example": _LINE},
            "application/gzip": _bytes_of("orders.csv.gz"),
            "application/zip": _bytes_of("orders.zip"),
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": _bytes_of("orders.xlsx"),
            "application/vnd.apache.parquet": _bytes_of("orders.parquet"),
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "joined": {"type": "array", "items": {"type": "string", "format": "binary"}},
                    },
                    "additionalProperties": {
                        "type": "string",
                        "description": "An option, as the address has it; here it may be longer.",
                    },
                },
                "example": {"file": CSV, "dates": '{"ordered_at": "%Y-%m-%d"}'},
            },
        },
    }
}
