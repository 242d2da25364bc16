"""How a caller says how a file is to be read: the same parameters for a file in a request and for an upload."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from penstock import json_codec
from penstock.ingest.files.options import (
    MAX_SKIPPED,
    REJECT_SHARE,
    STRUCTURES,
    TEXTS,
    DecimalSign,
    Escape,
    Format,
    Quote,
)

MAX_OPTION: Final = 20_000

PLAIN: Final = ("header", "skip_rows", "remember")
"""The options that are neither texts nor structures; a form has them as JSON, too."""

_Text = Annotated[str | None, Field(max_length=MAX_OPTION)]


def _json(description: str, *examples: str) -> Any:
    return Field(description=f"JSON: {description}", examples=list(examples))


class ImportOptions(BaseModel):
    """Checked here as far as HTTP goes; what the texts mean is checked by `imports`."""

    model_config = ConfigDict(extra="forbid")

    mapping: Annotated[
        _Text, _json('{"column of the file": "field"}; null leaves it out.', '{"Invoice": "order_id"}')
    ] = None
    fields: Annotated[
        _Text,
        _json(
            'for each field a column, or {"columns": […], "join": "-"}, {"first": […]}, {"path": "repo.name"},'
            ' {"constant": …} or {"rest": true}; beside it "values" with "else", "default", "blank": "above", "within"',
            '{"order_id": {"columns": ["Shop", "Number"], "join": "-"}}',
            '{"event_type": {"column": "status", "values": {"sent": "OrderSent"}}, "payload": {"rest": true}}',
        ),
    ] = None
    rows: Annotated[
        _Text,
        _json(
            'which records are wanted: {"column": …} with "in", "not_in" or "empty". Others are skipped.',
            '[{"column": "Status", "in": ["paid", "shipped"]}]',
        ),
    ] = None
    join: Annotated[
        _Text,
        _json(
            'further files with records that belong to the rows: {"file": its name, "on": {"column": "column of that'
            ' file"}}; beside them "take", "required", "repeated", "sha256". Send them as parts of the form `joined`.',
            '[{"file": "orders.csv", "on": {"order_id": "id"}}]',
        ),
    ] = None
    also: Annotated[
        _Text, _json("further sorts of rows that the target knows, such as credit notes of orders.", '["credit_notes"]')
    ] = None
    constants: Annotated[_Text, _json('{"field": "value of every row"}.', '{"currency": "EUR"}')] = None
    defaults: Annotated[_Text, _json('{"field": "value where the file has none"}.', '{"country": "FR"}')] = None
    dates: Annotated[
        _Text,
        _json(
            '{"field": a strptime format, or iso, epoch, epoch_ms or excel; or a list, tried in its order}.',
            '{"ordered_at": "%d %B %Y"}',
            '{"ordered_at": ["%d.%m.%Y", "excel"]}',
        ),
    ] = None
    decimal: DecimalSign | None = None
    format: Format | None = None
    encoding: Annotated[str | None, Field(max_length=40)] = None
    delimiter: Annotated[str | None, Field(max_length=1)] = None
    quote: Annotated[Quote | None, Field(description="The quote character, or none: then quotes are text.")] = None
    escape: Annotated[Escape | None, Field(description="Whether a backslash takes what follows; \\N is empty.")] = None
    zone: Annotated[
        str | None,
        Field(max_length=100, description="The zone of times that name none.", examples=["America/New_York"]),
    ] = None
    skip_rows: Annotated[int | None, Field(ge=0, le=MAX_SKIPPED, description="Lines before the header.")] = None
    header: Annotated[
        bool | _Text,
        Field(
            union_mode="left_to_right",
            description="false: there is none; or JSON: the names of the columns.",
            examples=['["id","name"]'],
        ),
    ] = None
    remember: Annotated[
        bool | None,
        Field(description="False: use no remembered mapping, and remember none. By default, options are remembered."),
    ] = None
    sheet: Annotated[
        str | None, Field(max_length=100, description="A workbook's sheet: its name, or number from 1.")
    ] = None
    reject_limit: Annotated[int | None, Field(ge=0, le=2**31 - 1, description="Stop after so many rejects.")] = None
    reject_share: Annotated[
        float, Field(ge=0, le=1, description="Of a larger share of faults it ends as `completed_with_rejects`.")
    ] = REJECT_SHARE

    def for_imports(self, form: Mapping[str, str] | None = None) -> dict[str, Any]:
        """As `imports` wants them; what a form says counts before what the address says."""
        said = self.model_dump(include={*STRUCTURES, *TEXTS, *PLAIN}, exclude_none=True)
        said |= form or {}
        as_json = [name for name in (*STRUCTURES, *PLAIN) if isinstance(said.get(name), str)]
        return said | {name: json_codec.loads(said[name], field=name) for name in as_json}
